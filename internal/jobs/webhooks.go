package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// ErrNoWebhooks: the node has no endpoints.
var ErrNoWebhooks = errors.New("no webhook endpoints are configured")

func (j *Jobs) addWebhooks(workers *river.Workers) error {
	if j.config.Webhooks == nil {
		return nil
	}
	return river.AddWorkerSafely(workers, j.config.Webhooks)
}

func (j *Jobs) closeWebhooks() {
	if j.config.Webhooks != nil {
		j.config.Webhooks.Close()
	}
}

// Webhook queues an event for an endpoint and returns its job's id. tx may be
// nil.
func (j *Jobs) Webhook(ctx context.Context, tx pgx.Tx, endpoint, eventType string, payload json.RawMessage) (id int64, err error) {
	if j.config.Webhooks == nil {
		return 0, ErrNoWebhooks
	}
	args, opts, err := j.config.Webhooks.Job(endpoint, eventType, payload)
	if err != nil {
		return 0, err
	}
	var inserted *rivertype.JobInsertResult
	if tx == nil {
		inserted, err = j.client.Insert(ctx, args, opts)
	} else {
		inserted, err = j.client.InsertTx(ctx, tx, args, opts)
	}
	if err != nil {
		return 0, fmt.Errorf("queueing a webhook: %w", err)
	}
	return inserted.Job.ID, nil
}
