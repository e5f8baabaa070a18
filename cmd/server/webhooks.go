package main

import (
	"errors"

	"github.com/trunkline/trunkline"
)

// webhookSettings are the endpoints that the SQL function webhook posts to.
type webhookSettings struct {
	Webhooks     map[string]string `env:"WEBHOOKS" mapsep:"," placeholder:"NAME=URL,..." help:"Endpoints of webhooks by name, such as billing=https://billing.example/hooks."`
	Secret       string            `name:"webhook-secret" env:"WEBHOOK_SECRET" help:"Secret that webhooks are signed with: whsec_ and base64. Of several, separated by spaces, each signs."`
	AllowPrivate bool              `name:"webhook-allow-private" env:"WEBHOOK_ALLOW_PRIVATE" help:"Let webhooks go to addresses that are not on the public internet."`
}

func (s webhookSettings) endpoints() (map[string]trunkline.WebhookEndpoint, error) {
	if len(s.Webhooks) == 0 && (s.Secret != "" || s.AllowPrivate) {
		return nil, errors.New("WEBHOOK_SECRET or WEBHOOK_ALLOW_PRIVATE is set without an endpoint: give WEBHOOKS=name=https://host/path")
	}
	all := map[string]trunkline.WebhookEndpoint{}
	for name, url := range s.Webhooks {
		all[name] = trunkline.WebhookEndpoint{URL: url, Secret: s.Secret, AllowPrivate: s.AllowPrivate}
	}
	return all, nil
}
