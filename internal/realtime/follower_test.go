package realtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trunkline/trunkline/internal/wire"
)

// fakeHistory stores messages in memory and delivers them as a feed does.
type fakeHistory struct {
	engine *Engine

	mu     sync.Mutex // held during a delivery
	stored []*Broadcast
	head   int64

	failing bool
	deleted int64 // up to this id, by retention
	reads   int
}

func (h *fakeHistory) publish(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for range n {
		h.head++
		h.stored = append(h.stored, &Broadcast{Topic: "a", Event: "x", ID: h.head, Payload: Payload{Data: fmt.Appendf(nil, `{"id":%d}`, h.head)}})
	}
	h.engine.Deliver(h.stored[len(h.stored)-n:])
}

func (h *fakeHistory) After(_ context.Context, _ string, after int64) ([]*Broadcast, int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads++
	if h.failing {
		return nil, 0, errors.New("away")
	}
	if after < h.deleted {
		return nil, h.deleted, nil // as if nothing newer were there yet
	}
	return h.stored[after:min(after+10, h.head)], h.head, nil
}

func (h *fakeHistory) AtHead(_ string, f func(int64)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h.head)
}

func followerTest(t *testing.T, f func(t *testing.T, h *fakeHistory, c *client)) {
	t.Parallel()
	h := &fakeHistory{}
	run(t, Config{History: h}, func(t *testing.T, e *Engine) {
		h.engine = e
		f(t, h, connect(t, e, wire.V2, "", func() Handler {
			return &fakeHandler{join: func(_ context.Context, c *Channel, p Payload) (Payload, error) {
				var after int64
				_, err := fmt.Sscan(string(p.Data), &after)
				c.Follow(after)
				return EmptyObject, err
			}}
		}))
	})
}

func storedFrames(from, to int) (frames []string) {
	for id := from; id <= to; id++ {
		frames = append(frames, fmt.Sprintf(`[null,null,"a","x",{"id":%d}]`, id))
	}
	return frames
}

const joinedFrame = `["1","1","a","phx_reply",{"status":"ok","response":{}}]`

func TestAFollowerAtTheHeadIsLiveAtOnce(t *testing.T) {
	followerTest(t, func(t *testing.T, h *fakeHistory, c *client) {
		h.publish(3)
		c.send(`["1","1","a","phx_join",3]`)
		c.got()
		h.publish(2)
		c.want(storedFrames(4, 5)...)
		if h.reads != 0 {
			t.Errorf("%d reads of the history for a client that missed nothing", h.reads)
		}
	})
}

func TestAFollowerBehindCatchesUpWithoutASeam(t *testing.T) {
	followerTest(t, func(t *testing.T, h *fakeHistory, c *client) {
		h.publish(95)
		c.send(`["1","1","a","phx_join",2]`)
		h.publish(30) // while it catches up
		synctest.Wait()
		h.publish(5)
		c.want(append([]string{joinedFrame}, storedFrames(3, 130)...)...)
	})
}

func TestASlowFollowerIsReadToAtItsPaceAndLosesNothing(t *testing.T) {
	followerTest(t, func(t *testing.T, h *fakeHistory, c *client) {
		c.send(`["1","1","a","phx_join",0]`)
		c.got()
		c.recorder.stalled.Store(1 << 20)
		h.publish(50)
		if err := h.engine.Broadcast("a", "typing", EmptyObject); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		c.want() // nothing stored, nothing ephemeral
		c.recorder.stalled.Store(0)
		time.Sleep(time.Second)
		c.want(storedFrames(1, 50)...)
		h.publish(1)
		c.want(storedFrames(51, 51)...)
	})
}

func TestAFollowerOutlivesAHistoryThatFails(t *testing.T) {
	followerTest(t, func(t *testing.T, h *fakeHistory, c *client) {
		h.publish(5)
		h.failing = true
		c.send(`["1","1","a","phx_join",0]`)
		time.Sleep(10 * time.Second)
		c.want(joinedFrame)
		h.mu.Lock()
		h.failing = false
		h.mu.Unlock()
		time.Sleep(readPauseMax)
		c.want(storedFrames(1, 5)...)
	})
}

func TestAFollowerSkipsWhatRetentionDeleted(t *testing.T) {
	followerTest(t, func(t *testing.T, h *fakeHistory, c *client) {
		h.publish(9)
		h.deleted = 7
		c.send(`["1","1","a","phx_join",0]`)
		c.want(append([]string{joinedFrame}, storedFrames(8, 9)...)...)
		h.publish(1)
		c.want(storedFrames(10, 10)...)
	})
}

func TestJoinsShareTheRoomOfTheQueue(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		const page = 300 << 10 // two of them are more than half of 1 MiB
		granted := make(chan bool, 3)
		proceed := make(chan struct{})
		c := connect(t, e, wire.V2, "", func() Handler {
			return &fakeHandler{join: func(_ context.Context, c *Channel, _ Payload) (Payload, error) {
				granted <- c.Reserve(page)
				<-proceed
				return EmptyObject, nil
			}}
		})
		c.send(`["1","1","a","phx_join",{}]`)
		synctest.Wait()
		c.send(`["2","2","b","phx_join",{}]`)
		synctest.Wait()
		if first, second := <-granted, <-granted; !first || second {
			t.Errorf("room for two pages at once: %v, %v; want only the first", first, second)
		}
		close(proceed)
		c.got()
		c.recorder.stalled.Store(page)
		c.send(`["3","3","c","phx_join",{}]`)
		if <-granted {
			t.Error("room for a page behind another that is not taken")
		}
		c.got()
		if n := c.reserved.Load(); n != 0 {
			t.Errorf("%d bytes stay reserved", n)
		}
	})
}
