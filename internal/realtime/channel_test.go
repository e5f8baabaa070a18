package realtime

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trunkline/trunkline/internal/wire"
)

func TestPushesWaitForTheJoinInOrder(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		slow := func() Handler {
			return &fakeHandler{join: func(context.Context, *Channel, Payload) (Payload, error) {
				time.Sleep(time.Second)
				return EmptyObject, nil
			}}
		}
		c := connect(t, e, wire.V2, "", slow)
		c.send(`["1","1","a","phx_join",{}]`, `["1","2","a","x",{"n":1}]`, `["1","3","a","x",{"n":2}]`,
			`[null,"4","phoenix","heartbeat",{}]`)
		c.want(`[null,"4","phoenix","phx_reply",{"status":"ok","response":{}}]`)
		time.Sleep(time.Second)
		c.want(`["1","1","a","phx_reply",{"status":"ok","response":{}}]`,
			`["1","2","a","phx_reply",{"status":"ok","response":{"n":1}}]`,
			`["1","3","a","phx_reply",{"status":"ok","response":{"n":2}}]`)
	})
}

func TestPushesBehindAFailedJoinAreUnmatched(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		c := connect(t, e, wire.V2, "", always(&fakeHandler{join: func(context.Context, *Channel, Payload) (Payload, error) {
			time.Sleep(time.Second)
			return Payload{}, &Rejection{Response: Payload{Data: []byte(`{"reason":"no"}`)}}
		}}))
		c.send(`["1","1","a","phx_join",{}]`, `["1","2","a","x",{}]`, `["1","3","a","phx_leave",{}]`)
		time.Sleep(time.Second)
		c.want(`["1","1","a","phx_reply",{"status":"error","response":{"reason":"no"}}]`,
			`[null,"2","a","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]`,
			`["1","3","a","phx_reply",{"status":"ok","response":{}}]`)
	})
}

func TestASlowChannelDelaysNoOther(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		c := connect(t, e, wire.V2, "", always(&fakeHandler{in: func(_ context.Context, c *Channel, _ string, p Payload) (Reply, error) {
			if c.Topic() == "slow" {
				time.Sleep(time.Second)
			}
			return Reply{Status: "ok", Response: p}, nil
		}}))
		c.send(`["1","1","slow","phx_join",{}]`, `["2","2","fast","phx_join",{}]`)
		c.got()
		c.send(`["1","3","slow","x",{}]`, `["2","4","fast","x",{}]`)
		c.want(`["2","4","fast","phx_reply",{"status":"ok","response":{}}]`)
		time.Sleep(time.Second)
		c.want(`["1","3","slow","phx_reply",{"status":"ok","response":{}}]`)
	})
}

func TestCallbacksOfOneChannelNeverOverlap(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		var running, calls int // unguarded on purpose: the race detector watches
		enter := func() {
			running++
			calls++
			if running != 1 {
				t.Error("two callbacks at once")
			}
			runtime.Gosched()
			running--
		}
		h := &fakeHandler{
			in: func(context.Context, *Channel, string, Payload) (Reply, error) { enter(); return Reply{}, nil },
			info: func(*Channel, any) error {
				enter()
				return nil
			},
		}
		c := connect(t, e, wire.V2, "", always(h))
		c.send(`["1","1","a","phx_join",{}]`)
		synctest.Wait()
		channel := c.find([]byte("a"))
		for range 4 {
			go func() {
				for range 50 {
					if err := channel.Send("hello"); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		for range 50 {
			c.send(`["1","2","a","x",{}]`)
		}
		synctest.Wait()
		if calls != 250 {
			t.Errorf("%d callbacks, want 250", calls)
		}
	})
}

func TestDuplicateJoin(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		var reasons []error
		stale := make(chan error, 1)
		c := connect(t, e, wire.V2, "", func() Handler {
			return &fakeHandler{
				in: func(ctx context.Context, c *Channel, _ string, _ Payload) (Reply, error) {
					<-ctx.Done() // cancelled by the second join
					stale <- c.Push("late", EmptyObject)
					return Reply{Status: "ok"}, nil
				},
				terminate: func(_ context.Context, _ *Channel, reason error) { reasons = append(reasons, reason) },
			}
		})
		c.send(`["1","1","a","phx_join",{}]`, `["1","2","a","x",{}]`)
		c.got()
		c.send(`["3","3","a","phx_join",{}]`)
		c.want(`["3","3","a","phx_reply",{"status":"ok","response":{}}]`, `["1","1","a","phx_close",{}]`)
		if err := <-stale; !errors.Is(err, ErrNotJoined) {
			t.Errorf("push of the replaced channel: %v", err)
		}
		if len(reasons) != 1 || !errors.Is(reasons[0], ErrReplaced) {
			t.Errorf("terminate reasons %v", reasons)
		}
		if n := e.Subscribers("a"); n != 1 {
			t.Errorf("%d subscribers, want 1", n)
		}
	})
}

func TestDuplicateJoinAbandonsAChannelThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		release := make(chan struct{})
		first := true
		c := connect(t, e, wire.V2, "", func() Handler {
			h := &fakeHandler{}
			if first {
				h.terminate = func(context.Context, *Channel, error) { <-release }
			}
			first = false
			return h
		})
		c.send(`["1","1","a","phx_join",{}]`)
		c.got()
		c.send(`["2","2","a","phx_join",{}]`, `["2","3","a","x",{}]`)
		time.Sleep(5*time.Second - time.Millisecond)
		c.want()
		time.Sleep(time.Millisecond)
		c.want(`["2","2","a","phx_reply",{"status":"ok","response":{}}]`, `["1","1","a","phx_close",{}]`,
			`["2","3","a","phx_reply",{"status":"ok","response":{}}]`)
		close(release)
		c.send(`["2","4","a","x",{}]`)
		c.want(`["2","4","a","phx_reply",{"status":"ok","response":{}}]`)
	})
}

func TestJoinBehindARunningJoin(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		c := connect(t, e, wire.V2, "", always(&fakeHandler{join: func(context.Context, *Channel, Payload) (Payload, error) {
			time.Sleep(time.Second)
			return EmptyObject, nil
		}}))
		c.send(`["1","1","a","phx_join",{}]`, `["2","2","a","phx_join",{}]`)
		time.Sleep(2 * time.Second)
		c.want(`["1","1","a","phx_reply",{"status":"ok","response":{}}]`, `["1","1","a","phx_close",{}]`,
			`["2","2","a","phx_reply",{"status":"ok","response":{}}]`)
	})
}

func TestLeave(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		c := connect(t, e, wire.V2, "", plain)
		c.send(`["1","1","a","phx_join",{}]`)
		c.got()
		c.send(`["0","2","a","phx_leave",{}]`)
		c.want() // of another join
		c.send(`["1","3","a","phx_leave",{}]`, `["1","4","a","phx_leave",{}]`)
		c.want(`["1","3","a","phx_reply",{"status":"ok","response":{}}]`, `["1","1","a","phx_close",{}]`)
		c.send(`["1","5","a","phx_leave",{}]`, `["1","6","a","x",{}]`)
		c.want(`["1","5","a","phx_reply",{"status":"ok","response":{}}]`,
			`[null,"6","a","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]`)
	})
}

func TestLeaveThenJoinKeepsTheOrder(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		c := connect(t, e, wire.V2, "", plain)
		c.send(`["1","1","a","phx_join",{}]`)
		c.got()
		c.send(`["1","2","a","phx_leave",{}]`, `["3","3","a","phx_join",{}]`)
		c.want(`["1","2","a","phx_reply",{"status":"ok","response":{}}]`, `["1","1","a","phx_close",{}]`,
			`["3","3","a","phx_reply",{"status":"ok","response":{}}]`)
	})
}

func TestACrashEndsOneChannelOnly(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		var reason error
		c := connect(t, e, wire.V2, "", always(&fakeHandler{
			in: func(_ context.Context, _ *Channel, event string, p Payload) (Reply, error) {
				switch event {
				case "panic":
					panic("boom")
				case "error":
					return Reply{}, errors.New("broken")
				}
				return Reply{Status: "ok", Response: p}, nil
			},
			terminate: func(_ context.Context, _ *Channel, r error) { reason = r },
		}))
		c.send(`["1","1","a","phx_join",{}]`, `["2","2","b","phx_join",{}]`, `["3","3","c","phx_join",{}]`)
		c.got()
		c.send(`["1","4","a","panic",{}]`)
		c.want(`["1","1","a","phx_error",{"reason":"channel_crash"}]`)
		var p *PanicError
		if !errors.As(reason, &p) || p.Value != "boom" || len(p.Stack) == 0 {
			t.Errorf("reason %v, want the panic with its stack", reason)
		}
		c.send(`["2","5","b","error",{}]`)
		c.want(`["2","2","b","phx_error",{"reason":"channel_crash"}]`)
		c.send(`["3","6","c","x",{}]`, `["1","7","a","x",{}]`)
		got := c.got()
		if len(got) != 2 {
			t.Errorf("frames %q: channel c must answer and a be unmatched", got)
		}
	})
}

func TestMailboxLimitAnswersThePush(t *testing.T) {
	t.Parallel()
	run(t, Config{MailboxSize: 3, InboundBytes: 1000}, func(t *testing.T, e *Engine) {
		c := connect(t, e, wire.V2, "", always(&fakeHandler{in: func(context.Context, *Channel, string, Payload) (Reply, error) {
			time.Sleep(time.Second)
			return Reply{}, nil
		}}))
		c.send(`["1","1","a","phx_join",{}]`)
		c.got()
		c.send(`["1","2","a","x",{}]`)
		c.want() // one is being handled
		for range 3 {
			c.send(`["1","3","a","x",{}]`)
		}
		c.want()
		c.send(`["1","4","a","x",{}]`)
		c.want(`["1","4","a","phx_reply",{"status":"error","response":{"reason":"too many messages waiting","limit":3}}]`)
		time.Sleep(4 * time.Second)
		big := fmt.Sprintf(`["1","5","a","x",{"p":%q}]`, strings.Repeat("x", 600))
		c.send(big, big)
		c.want(`["1","5","a","phx_reply",{"status":"error","response":{"reason":"too many bytes waiting","limit":1000}}]`)
		time.Sleep(2 * time.Second)
		if n := c.inbound.Load(); n != 0 {
			t.Errorf("%d inbound bytes accounted for with nothing waiting", n)
		}
	})
}

func TestABroadcastTooFarBehindCrashesTheChannel(t *testing.T) {
	t.Parallel()
	run(t, Config{MailboxSize: 2}, func(t *testing.T, e *Engine) {
		c := connect(t, e, wire.V2, "", always(&fakeHandler{
			intercepts: []string{"x"},
			out: func(*Channel, string, Payload) error {
				time.Sleep(time.Second)
				return nil
			},
		}))
		c.send(`["1","1","a","phx_join",{}]`)
		c.got()
		for range 4 {
			if err := e.Broadcast("a", "x", EmptyObject); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		time.Sleep(3 * time.Second)
		c.want(`["1","1","a","phx_error",{"reason":"channel_crash"}]`)
	})
}

func TestRepliesNeedARefAndAJoinedChannel(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		var ref Ref
		c := connect(t, e, wire.V2, "", always(&fakeHandler{
			join: func(_ context.Context, c *Channel, _ Payload) (Payload, error) {
				if err := c.Push("early", EmptyObject); !errors.Is(err, ErrNotJoined) {
					t.Errorf("push before the join: %v", err)
				}
				if err := c.Broadcast("early", EmptyObject); !errors.Is(err, ErrNotJoined) {
					t.Errorf("broadcast before the join: %v", err)
				}
				return EmptyObject, nil
			},
			in: func(_ context.Context, c *Channel, _ string, _ Payload) (Reply, error) {
				r, err := c.Ref()
				if err == nil {
					ref = r
				}
				return Reply{}, err
			},
		}))
		c.send(`["1","1","a","phx_join",{}]`, `["1","2","a","x",{}]`)
		c.got()
		for range 2 {
			if err := ref.Reply(Reply{Status: "ok", Response: EmptyObject}); err != nil {
				t.Error(err)
			}
		}
		again := `["1","2","a","phx_reply",{"status":"ok","response":{}}]`
		c.want(again, again)
		c.send(`["1",null,"a","x",{}]`)
		c.want(`["1","1","a","phx_error",{"reason":"channel_crash"}]`)
		if err := ref.Reply(Reply{Status: "ok"}); !errors.Is(err, ErrNotJoined) {
			t.Errorf("reply after the end: %v", err)
		}
	})
}

func TestLossOfTheConnectionTerminatesBehindTheMailbox(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		var log []string
		c := connect(t, e, wire.V2, "user:1", always(&fakeHandler{
			in: func(ctx context.Context, _ *Channel, event string, _ Payload) (Reply, error) {
				select {
				case <-time.After(3 * time.Second):
					log = append(log, event+" done")
				case <-ctx.Done():
					log = append(log, event+" cancelled")
				}
				return Reply{}, nil
			},
			terminate: func(_ context.Context, _ *Channel, reason error) { log = append(log, reason.Error()) },
		}))
		c.send(`["1","1","a","phx_join",{}]`, `["1","2","a","one",{}]`, `["1","3","a","two",{}]`)
		synctest.Wait()
		if err := e.Disconnect("user:1"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if c.recorder.code != closeGoingAway {
			t.Errorf("close code %d, want 1001", c.recorder.code)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		want := "[one done two cancelled shutdown: closed]"
		if got := fmt.Sprint(log); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestIdleChannelsHaveNoGoroutine(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		c := connect(t, e, wire.V2, "", plain)
		for i := range 100 {
			c.send(fmt.Sprintf(`["%d","1","t%d","phx_join",{}]`, i, i))
		}
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.channels) != 100 {
			t.Fatalf("%d channels", len(c.channels))
		}
		for _, ch := range c.channels {
			ch.mu.Lock()
			if ch.running {
				t.Errorf("%s is running with nothing to do", ch.topic)
			}
			ch.mu.Unlock()
		}
	})
}

func TestChannelLimit(t *testing.T) {
	t.Parallel()
	run(t, Config{}, func(t *testing.T, e *Engine) {
		c := connect(t, e, wire.V2, "", plain)
		for i := range 100 {
			c.send(fmt.Sprintf(`["1","1","t%d","phx_join",{}]`, i))
		}
		c.got()
		c.send(`["2","2","one more","phx_join",{}]`)
		c.want(`["2","2","one more","phx_reply",{"status":"error","response":{"reason":"too many channels joined"}}]`)
		c.send(`["3","3","t7","phx_join",{}]`) // a duplicate takes no place
		if got := c.got(); len(got) != 2 {
			t.Errorf("frames %q", got)
		}
	})
}
