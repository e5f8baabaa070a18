package trunkline_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/trunkline/trunkline"
)

// An event is posted to another service, which verifies that it is from here.
func ExampleServer_Webhook() {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

	// The other service.
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		panic(err)
	}
	received := make(chan struct{})
	billing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest) // it will come again
			return
		}
		fmt.Println("verified", r.Header.Get("webhook-id") != "", len(body) > 0)
		close(received)
	}))
	defer billing.Close()

	databaseURL, drop := database()
	defer drop()
	srv := newServer(databaseURL)
	srv.Jobs(trunkline.JobsOptions{Webhooks: map[string]trunkline.WebhookEndpoint{
		"billing": {URL: billing.URL, Secret: secret, AllowPrivate: true}, // it is on this machine
	}})
	_, stop := start(srv)
	defer stop()

	if _, err := srv.Webhook(context.Background(), "billing", "invoice.paid", map[string]any{"invoice": 7}); err != nil {
		panic(err)
	}
	<-received
	// Output:
	// verified true true
}
