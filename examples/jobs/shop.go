package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline"
)

// credit is how much an order may cost.
const credit = 1000

type object = map[string]any

// shop is one client's membership of a shop. Its heavy work is done by jobs,
// whose answers are the replies to the pushes.
type shop struct{ srv *trunkline.Server }

// mountShop serves the topics shop:*, which are durable, and live:*, which are not.
func mountShop(srv *trunkline.Server) {
	srv.Socket("/socket", trunkline.SocketOptions{
		Connect: func(_ context.Context, r *trunkline.ConnectRequest) (trunkline.Session, error) {
			// Who may have the answers of a lost connection: all with the same id.
			return trunkline.Session{ID: "user:" + r.Param("user")}, nil
		},
	})
	srv.Durable("shop:*", trunkline.HistoryOptions{})
	srv.Channel("shop:*", func() trunkline.Channel { return &shop{srv} })
	srv.Channel("live:*", func() trunkline.Channel { return &shop{srv} })
}

// Join lets everybody in.
func (c *shop) Join(context.Context, *trunkline.Socket, trunkline.Payload) (any, error) {
	return nil, nil
}

// HandleIn hands a push on to its job.
func (c *shop) HandleIn(ctx context.Context, s *trunkline.Socket, event string, p trunkline.Payload) (trunkline.Reply, error) {
	switch event {
	case "say":
		return trunkline.OK(nil), s.Broadcast("said", p)
	case "echo":
		return offload[echoArgs](p)
	case "report":
		return c.report(p)
	case "fail":
		return trunkline.Offload(trunkline.Job{Args: failArgs{}, Opts: &river.InsertOpts{MaxAttempts: 1}}), nil
	case "order":
		return c.order(p)
	case "notify":
		return c.notify(ctx, p)
	}
	return trunkline.Fail(object{"reason": fmt.Sprintf("unknown event %q", event)}), nil
}

// offload has a job answer, whose arguments are the push's payload.
func offload[Args river.JobArgs](p trunkline.Payload) (trunkline.Reply, error) {
	var args Args
	if err := p.Decode(&args); err != nil {
		return badPayload, nil
	}
	return trunkline.Offload(trunkline.Job{Args: args}), nil
}

var badPayload = trunkline.Fail(object{"reason": "bad payload"})

// report may be acknowledged at once: its answer then comes as an event.
func (c *shop) report(p trunkline.Payload) (trunkline.Reply, error) {
	var in struct {
		reportArgs
		Acknowledge bool
	}
	if err := p.Decode(&in); err != nil {
		return badPayload, nil
	}
	return trunkline.Offload(trunkline.Job{Args: in.reportArgs, Acknowledge: in.Acknowledge}), nil
}

// order stores the order, tells everybody and has it charged: all or nothing.
func (c *shop) order(p trunkline.Payload) (trunkline.Reply, error) {
	var order chargeArgs
	if err := p.Decode(&order); err != nil {
		return badPayload, nil
	}
	return trunkline.Offload(trunkline.Job{
		Args:    order,
		Event:   "ordered",
		Payload: object{"number": order.Number, "amount": order.Amount},
		Tx: func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "insert into orders (number, amount) values ($1, $2)", order.Number, order.Amount)
			if err == nil && order.Amount > credit {
				return trunkline.Reject(object{"reason": "too expensive", "limit": credit})
			}
			return err
		},
	}), nil
}

// notify has a webhook posted. Nobody waits for it.
func (c *shop) notify(ctx context.Context, p trunkline.Payload) (trunkline.Reply, error) {
	var in struct {
		Endpoint string
		Data     object
	}
	if err := p.Decode(&in); err != nil {
		return badPayload, nil
	}
	id, err := c.srv.Webhook(ctx, in.Endpoint, "order.shipped", in.Data)
	if err != nil {
		return trunkline.Fail(object{"reason": err.Error()}), nil
	}
	return trunkline.OK(object{"job": id}), nil
}
