package main

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
)

// chargeArgs is an order, and the job that charges it.
type chargeArgs struct {
	Number string `json:"number"`
	Amount int    `json:"amount"`
	// BeforeMS and AfterMS are how long the job takes before and after it
	// charges, in milliseconds.
	BeforeMS int `json:"before_ms"`
	AfterMS  int `json:"after_ms"`
}

// Kind of the job.
func (chargeArgs) Kind() string { return "charge" }

type chargeWorker struct {
	river.WorkerDefaults[chargeArgs]
	db *pgxpool.Pool
}

// Work charges the order once. Its node may die at any point, also after the
// charge, and then it is tried again elsewhere: the order's number makes the
// second attempt change nothing. A payment provider takes it as its own
// idempotency key.
func (w *chargeWorker) Work(ctx context.Context, job *river.Job[chargeArgs]) error {
	order := job.Args
	if err := take(ctx, order.BeforeMS); err != nil {
		return err
	}
	_, err := w.db.Exec(ctx, `
		insert into charges (order_number, amount, job_id, attempt) values ($1, $2, $3, $4)
		on conflict (order_number) do nothing`, order.Number, order.Amount, job.ID, job.Attempt)
	if err != nil {
		return err
	}
	if err := take(ctx, order.AfterMS); err != nil {
		return err
	}
	return answer(ctx, object{"charged": order.Number, "job": job.ID})
}
