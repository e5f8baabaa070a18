package history

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Each message expires at its own time: unstored in the queue, and with an
// unknown outcome if it was sent; what is answered later finds nobody.
func TestMessagesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(10, 1<<20, 5*time.Second)
		var waiting []*pending
		began := time.Now()
		put := func() {
			p := q.pending()
			p.topic = "t"
			if err := q.put(p); err != nil {
				t.Fatal(err)
			}
			waiting = append(waiting, p)
		}
		put()
		time.Sleep(time.Second)
		put()
		put()
		time.Sleep(time.Second)
		batch, _ := q.take(1, 1<<20)
		if sent := q.seal(batch); len(sent) != 1 || sent[0] != waiting[0] {
			t.Fatalf("sent %v", sent)
		}
		q.withdraw(waiting[1])
		waiting[1].answer(7, nil)
		for i, want := range []struct {
			after time.Duration
			err   error
		}{{5 * time.Second, ErrUnknownOutcome}, {5 * time.Second, nil}, {6 * time.Second, ErrUnavailable}} {
			a := <-waiting[i].answered
			if took := time.Since(began); !errors.Is(a.err, want.err) || took != want.after {
				t.Errorf("message %d: %v after %v, want %v after %v", i, a.err, took, want.err, want.after)
			}
		}
		waiting[0].answer(8, nil) // does not block
		if messages, bytes := q.load(); messages != 1 || bytes != waiting[1].bytes() {
			t.Errorf("%d messages of %d bytes are left, want the one that nobody took", messages, bytes)
		}
		time.Sleep(time.Minute)
		put() // when no timer is left
		again := time.Now()
		if a := <-waiting[3].answered; !errors.Is(a.err, ErrUnavailable) || time.Since(again) != 5*time.Second {
			t.Errorf("the next one: %v after %v", a.err, time.Since(again))
		}
	})
}

// Whoever puts while the queue is closed is refused or answered.
func TestCloseAnswersEverybody(t *testing.T) {
	t.Parallel()
	for range 200 {
		q := newQueue(1000, 1<<20, time.Hour)
		var putting sync.WaitGroup
		for range 8 {
			putting.Go(func() {
				p := q.pending()
				p.topic = "t"
				err := q.put(p)
				if err == nil {
					err = (<-p.answered).err
				}
				if !errors.Is(err, ErrClosed) {
					t.Errorf("answered %v", err)
				}
			})
		}
		for _, p := range q.close() {
			p.answer(0, ErrClosed)
		}
		putting.Wait()
		if messages, bytes := q.load(); messages != 0 || bytes != 0 {
			t.Fatalf("%d messages of %d bytes are left", messages, bytes)
		}
	}
}
