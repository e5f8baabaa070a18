package trunkline

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline/internal/presence/departures"
)

// newDepartures makes what queues the jobs of PresenceOptions.Left; nil when no
// pattern has any.
func (s *Server) newDepartures() (*departures.Departures, error) {
	c := departures.Config{
		Pool:   s.pool,
		Schema: s.cfg.Schema,
		Grace: func(topic string) (time.Duration, bool) {
			p := s.presencePattern(topic)
			if p == nil || !p.departs() {
				return 0, false
			}
			return p.options.Grace, true
		},
		Act:        s.queueLeft,
		Logger:     s.cfg.Logger,
		Registerer: s.registerer,
	}
	for _, p := range s.presences {
		switch prefix, isPrefix := strings.CutSuffix(p.text, "*"); {
		case !p.departs():
		case isPrefix:
			c.Prefixes = append(c.Prefixes, prefix)
		default:
			c.Topics = append(c.Topics, p.text)
		}
	}
	d, err := departures.New(c)
	if err != nil || len(c.Topics)+len(c.Prefixes) == 0 {
		return nil, err
	}
	s.departures.Store(d)
	return d, nil
}

// leftEvent is the type of the webhooks of departures.
const leftEvent = "presence.left"

// queueLeft queues the jobs of departures in the transaction that settles them.
func (s *Server) queueLeft(ctx context.Context, tx pgx.Tx, left []departures.Departure) error {
	var inserts []river.InsertManyParams
	for _, d := range left {
		p := s.presencePattern(d.Topic)
		if p == nil || !p.departs() { // an earlier pattern matches it
			continue
		}
		if p.left != nil {
			if args := p.left(PresenceLeft(d)); args != nil {
				inserts = append(inserts, river.InsertManyParams{Args: args})
			}
		}
		if p.webhook != "" {
			if _, err := s.WebhookTx(ctx, tx, p.webhook, leftEvent, PresenceLeft(d)); err != nil {
				return err
			}
		}
	}
	if len(inserts) == 0 {
		return nil
	}
	_, err := s.jobs.Load().Client().InsertManyTx(ctx, tx, inserts)
	return err
}

// checkLeftWebhooks finds endpoints that are not configured.
func (s *Server) checkLeftWebhooks() error {
	for _, p := range s.presences {
		if p.webhook == "" {
			continue
		}
		if s.jobsOptions == nil || s.jobsOptions.Webhooks[p.webhook].URL == "" {
			return fmt.Errorf("configuration: PresenceOptions.LeftWebhook of %q: %w: %q", p.text, ErrUnknownEndpoint, p.webhook)
		}
	}
	return nil
}
