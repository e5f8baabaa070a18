package history

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// readAll reads pages after many ids at once, and wants each to be complete.
func readAll(t *testing.T, n *node, topic func(i int) string, after func(i int) int64, count int, head int64) {
	t.Helper()
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() {
			page, err := n.After(context.Background(), topic(i), after(i), 100)
			if err != nil {
				t.Error(err)
				return
			}
			wantIDs(t, topic(i), pageIDs(page), span(after(i)+1, min(after(i)+100, head)))
			if page.Head != head || page.More != (after(i)+100 < head) {
				t.Errorf("head %d, more %v", page.Head, page.More)
			}
		})
	}
	all.Wait()
}

func TestReadersShareStatements(t *testing.T) {
	t.Run("one topic", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := newFakeServer()
			server.publish("room:1", 1000)
			n := startFake(t, server, Config{})
			defer n.follow(t, "room:1")()
			readAll(t, n, func(int) string { return "room:1" }, func(i int) int64 { return 900 - int64(i%50) }, 2000, 1000)
			if count := server.count("after") + server.count("topics"); count > 3 {
				t.Errorf("%d statements", count)
			}
			readAll(t, n, func(int) string { return "room:1" }, func(int) int64 { return 900 }, 100, 1000)
			if count := server.count("after"); count != 1 {
				t.Errorf("%d statements; want the second round to be read from memory", count)
			}
		})
	})
	t.Run("far behind", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := newFakeServer()
			server.publish("room:1", 10_000)
			n := startFake(t, server, Config{})
			readAll(t, n, func(int) string { return "room:1" }, func(i int) int64 { return int64(i) * 49 }, 200, 10_000)
			if count := server.count("after"); count > 2 {
				t.Errorf("%d statements", count)
			}
		})
	})
	t.Run("many topics", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := newFakeServer()
			for i := range 500 {
				server.publish(fmt.Sprint("room:", i), 120)
			}
			n := startFake(t, server, Config{})
			readAll(t, n, func(i int) string { return fmt.Sprint("room:", i%500) }, func(int) int64 { return 20 }, 2000, 120)
			if count := server.count("after") + server.count("topics"); count > 40 {
				t.Errorf("%d statements", count)
			}
		})
	})
	t.Run("newest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := newFakeServer()
			server.publish("room:1", 1000)
			server.delay = time.Millisecond
			n := startFake(t, server, Config{})
			defer n.follow(t, "room:1")()
			var all sync.WaitGroup
			for range 1000 {
				all.Go(func() {
					page, err := n.Newest(t.Context(), "room:1", 50)
					if err != nil || !page.More || page.Oldest != 1 {
						t.Errorf("%+v, %v", page, err)
					}
					wantIDs(t, "newest", pageIDs(page), span(951, 1000))
				})
			}
			all.Wait()
			if count := server.count("before"); count != 1 {
				t.Errorf("%d statements", count)
			}
		})
	})
}

func TestPagesAreBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		_, rows := server.publish("room:1", 5)
		for i := range rows {
			server.topics["room:1"].rows[i].payload = []byte(`{"x":"` + strings.Repeat("y", 600_000) + `"}`)
		}
		n := startFake(t, server, Config{})
		var all sync.WaitGroup
		for after := range int64(5) { // in one group, whose page ends with the first message
			all.Go(func() {
				page, err := n.After(t.Context(), "room:1", after, 10)
				if err != nil || page.More != (after < 4) {
					t.Errorf("after %d: more %v, %v", after, page.More, err)
				}
				wantIDs(t, fmt.Sprint("after ", after), pageIDs(page), []int64{after + 1})
			})
		}
		all.Wait()
		if count := server.count("after"); count != 2 {
			t.Errorf("%d statements", count)
		}
	})
}

func TestRetentionByCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		n := startFake(t, server, Config{Patterns: []Pattern{{Pattern: "room:*", MaxCount: 3}}})
		defer n.follow(t, "room:1")()
		for range 10 {
			n.publish(t, "room:1", "x")
		}
		synctest.Wait() // until they are delivered
		for _, c := range []struct {
			after int64
			want  []int64
		}{{0, span(8, 10)}, {7, span(8, 10)}, {9, span(10, 10)}, {10, nil}, {12, nil}} {
			page, err := n.After(t.Context(), "room:1", c.after, 100)
			if err != nil || page.Oldest != 8 || page.Head != 10 {
				t.Errorf("after %d: %+v, %v", c.after, page, err)
			}
			wantIDs(t, fmt.Sprint("after ", c.after), pageIDs(page), c.want)
		}
		for range 2 { // from the database, then from memory
			page, err := n.Newest(t.Context(), "room:1", 100)
			if err != nil || page.More {
				t.Errorf("newest: %+v, %v", page, err)
			}
			wantIDs(t, "newest", pageIDs(page), span(8, 10))
		}
	})
}

func TestRetentionByAgeInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		n := startFake(t, server, Config{Patterns: []Pattern{{Pattern: "room:*", MaxAge: time.Hour}}})
		defer n.follow(t, "room:1")()
		n.publish(t, "room:1", "old")
		time.Sleep(2 * time.Hour)
		n.publish(t, "room:1", "new")
		server.set(func(s *fakeServer) { s.topics["room:1"].gone = 1 })
		page, err := n.After(t.Context(), "room:1", 0, 100)
		if err != nil || page.Oldest != 2 {
			t.Errorf("%+v, %v", page, err)
		}
		wantIDs(t, "page", pageIDs(page), []int64{2})
	})
}

func TestBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		server.publish("room:1", 30)
		n := startFake(t, server, Config{})
		page, err := n.Before(t.Context(), "room:1", 21, 10)
		if err != nil || !page.More || page.Head != 30 {
			t.Errorf("%+v, %v", page, err)
		}
		wantIDs(t, "before 21", pageIDs(page), span(11, 20))
		if page, err = n.Before(t.Context(), "room:1", 11, 10); err != nil || page.More {
			t.Errorf("the oldest page: %+v, %v", page, err)
		}
		if _, err = n.Before(t.Context(), "other", 11, 10); !errors.Is(err, ErrNotDurable) {
			t.Errorf("a topic that is not durable: %v", err)
		}
	})
}

func TestBrokenConnectionsAreReplacedWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		server.publish("room:1", 3)
		broken := 0
		server.before = func(kind string, _ []entry) error {
			if kind != "after" {
				return nil
			}
			if broken++; broken == 1 {
				return errLost
			}
			return nil
		}
		n := startFake(t, server, Config{})
		page, err := n.After(t.Context(), "room:1", 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		wantIDs(t, "page", pageIDs(page), span(1, 3))
	})
}

func TestTooManyReadings(t *testing.T) {
	n := newFake(newFakeServer(), Config{}) // not running
	n.reader.waiting.count = maxWaiting
	if _, err := n.After(t.Context(), "room:1", 0, 10); !errors.Is(err, ErrUnavailable) {
		t.Errorf("beyond the bound: %v", err)
	}
	if _, err := n.Newest(t.Context(), "room:1", 10); !errors.Is(err, ErrUnavailable) {
		t.Errorf("beyond the bound: %v", err)
	}
}
