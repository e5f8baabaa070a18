package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	rollbackTopic  = "shop:rollback"
	rollbackOrders = 20 // of each sort
	orderCredit    = 1000
)

// rollback has transactions of orders fail: refused by the application, and by the
// database at the commit. Of these there
// may be no message, no job and no row; of the good ones between them, all.
func rollback(ctx context.Context, s *scenario) error {
	a, err := s.start(ctx, "a")
	if err != nil {
		return err
	}
	var heard atomic.Int64
	listener, err := dial(ctx, a.Address(), newUser("bob"), func(m message, _ time.Time) {
		if m.Event == "ordered" {
			heard.Add(1)
		}
	})
	if err != nil {
		return err
	}
	defer listener.close()
	if _, err := listener.join(ctx, rollbackTopic, object{}); err != nil {
		return err
	}
	c, err := s.dial(ctx, a, newUser("ann"), rollbackTopic)
	if err != nil {
		return err
	}
	defer c.close()

	var good, refused, failed []*push
	for i := range rollbackOrders {
		number := fmt.Sprintf("order-%d", i)
		for _, order := range []struct {
			pushes *[]*push
			key    string
			number string
			amount int
		}{
			{&good, number, number, 1},
			{&refused, number + "-refused", number + "-refused", orderCredit + 1},
			{&failed, number + "-again", number, 1}, // the number is unique, which the commit finds
		} {
			p, err := c.ask(ctx, rollbackTopic, "order", object{"key": order.key, "number": order.number, "amount": order.amount})
			if err != nil {
				return err
			}
			*order.pushes = append(*order.pushes, p)
		}
	}
	awaitAll(ctx, answerTimeout, append(append(good, refused...), failed...))
	harness.Pause(ctx, linger)
	s.judge.answers(s.phase, good, charged)
	s.judge.answers(s.phase, refused, failedWith("too expensive"))
	s.judge.answers(s.phase, failed, failedWith("the job could not be queued, try again"))
	s.judge.strays(s.phase, c.user, listener.user)
	s.judge.count(s.phase, "messages heard", int(heard.Load()), rollbackOrders)
	s.note("%d orders committed, %d refused by the application, %d by the commit", len(good), len(refused), len(failed))
	return s.counts(ctx, orderCounts(rollbackOrders))
}

// orderCounts are what so many orders leave behind.
func orderCounts(orders int) []counted {
	return []counted{
		{"messages", "select (select count(*) from trunkline.messages where event = 'ordered') + (select count(*) from trunkline.outbox)", orders},
		{"jobs", "select count(*) from trunkline.river_job where kind = 'charge'", orders},
		{"orders", "select count(*) from orders", orders},
		{"charges", "select count(*) from charges", orders},
		{"requests of charges", "select count(*) from trunkline.job_replies r join trunkline.river_job j on j.id = r.job_id where j.kind = 'charge'", orders},
		{"requests without a job", "select count(*) from trunkline.job_replies r where not exists (select from trunkline.river_job j where j.id = r.job_id)", 0},
		{"requests unanswered", "select count(*) from trunkline.job_replies where answered_at is null", 0},
	}
}

// charged wants the answer of an order. Its key is its number.
func charged(p *push, a answer) string {
	if a.status != "ok" || a.field("charged") != p.key {
		return "want ok and the order's number"
	}
	return ""
}

func failedWith(reason string) func(*push, answer) string {
	return func(_ *push, a answer) string {
		if a.status != "error" || a.field("reason") != reason {
			return fmt.Sprintf("want error and the reason %q", reason)
		}
		return ""
	}
}
