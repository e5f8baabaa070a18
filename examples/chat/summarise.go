package chat

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline"
)

const (
	// defaultSummaryPause makes the job take a few seconds.
	defaultSummaryPause = 700 * time.Millisecond
	// summaryTimeout ends an attempt before the page, which waits for 60 s, gives up.
	summaryTimeout = 50 * time.Second
	// summaryPage and maxSummarised bound what is read at once, and in all.
	summaryPage   = 500
	maxSummarised = 100_000
)

// summariseArgs is the job of the event summarise, for a member of the topic.
type summariseArgs struct {
	Topic string `json:"topic"`
}

func (summariseArgs) Kind() string { return "chat_summarise" }

func (summariseArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: trunkline.QueueHeavy}
}

// progress is pushed to who asked, with the key of their push.
type progress struct {
	Key      string `json:"key"`
	Percent  int    `json:"percent"`
	Step     string `json:"step"`
	Messages int    `json:"messages"` // that were read so far
	Node     string `json:"node"`     // that works
}

// summariser counts a room's messages, without haste: it pauses at each step,
// so that there is something to see.
type summariser struct {
	river.WorkerDefaults[summariseArgs]
	srv   *trunkline.Server
	pause time.Duration
}

// Timeout of an attempt.
func (w *summariser) Timeout(*river.Job[summariseArgs]) time.Duration { return summaryTimeout }

// Work answers with a summary. It changes nothing, so it may run again.
func (w *summariser) Work(ctx context.Context, job *river.Job[summariseArgs]) error {
	ref, asked := trunkline.JobRefFrom(ctx)
	if !asked {
		return nil
	}
	_, key, err := ref.Request(ctx)
	if err != nil {
		return err
	}
	var t tally
	s := summary{Node: w.srv.Node()}
	tell := func(percent int, step string) {
		// One that is lost is no reason to begin anew.
		_ = ref.Push(ctx, "progress", progress{key, percent, step, t.messages, s.Node})
	}
	for i, step := range []struct {
		name string
		do   func() error
	}{
		{"Reading the messages", func() (err error) {
			s.Partial, err = w.read(ctx, job.Args.Topic, &t, func() { tell(10, "Reading the messages") })
			s.Messages, s.People, s.Longest = t.messages, len(t.writers), t.longest
			return err
		}},
		{"Counting who wrote", func() error { s.Writers = top(t.writers); return nil }},
		{"Looking for the busiest hour", func() error { s.BusiestHour = t.busiestHour(); return nil }},
		{"Counting words", func() error { s.Words = top(t.words); return nil }},
	} {
		tell(25*i, step.name)
		if err := sleep(ctx, w.pause); err != nil {
			return err
		}
		if err := step.do(); err != nil {
			return err
		}
		if t.messages == 0 {
			break
		}
	}
	tell(100, "Done")
	s.Summary = s.sentence()
	return ref.Reply(trunkline.OK(s))
}

// read counts the messages of a topic, the oldest first, and returns whether it
// left some out. It calls onPage after each page.
func (w *summariser) read(ctx context.Context, topic string, t *tally, onPage func()) (partial bool, err error) {
	var after int64
	for seen := 0; seen < maxSummarised; {
		page, more, err := w.srv.Messages(ctx, topic, after, summaryPage)
		if err != nil {
			return false, err
		}
		for _, m := range page {
			var body said
			if m.Event == "new_msg" && !m.Deleted && m.Payload.Decode(&body) == nil {
				t.add(m.ID, m.InsertedAt, body)
			}
		}
		if !more {
			return false, nil
		}
		seen += len(page)
		after = page[len(page)-1].ID
		onPage()
	}
	return true, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
