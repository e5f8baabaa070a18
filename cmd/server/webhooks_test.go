package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/trunkline/trunkline/internal/pgtest"
)

const webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// The program posts what SQL tells it to.
func TestWebhookOfTheProgram(t *testing.T) {
	t.Parallel()
	verifier, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	posted := make(chan error, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		posted <- err
	}))
	t.Cleanup(receiver.Close)
	database := pgtest.URL(t)
	serve(t, database, "WEBHOOKS=billing="+receiver.URL+"/a=b,other=https://other.example", "WEBHOOK_SECRET="+webhookSecret, "WEBHOOK_ALLOW_PRIVATE=true")
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), `select trunkline.webhook('billing', 'invoice.paid', '{"amount": 12}')`); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-posted:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(commandTimeout):
		t.Error("nothing was posted")
	}
}
