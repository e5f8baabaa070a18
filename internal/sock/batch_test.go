package sock

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func textFrame(format string, args ...any) []byte {
	return NewFrame(fmt.Appendf(nil, format, args...), false)
}

// What is posted goes out in one write, in order, before what is sent later.
func TestPost(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		write  func(c *Conn, b *Batch)
		writes uint64
		last   string
	}{
		{"flushed", func(_ *Conn, b *Batch) { b.Flush() }, 1, ""},
		{"written", func(_ *Conn, b *Batch) { b.Write() }, 1, ""},
		{"sent behind, then flushed", func(c *Conn, b *Batch) { c.Send(textFrame("last")); b.Flush() }, 1, "last"},
		{"flushed, then sent", func(c *Conn, b *Batch) { b.Flush(); c.Send(textFrame("last")) }, 2, "last"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, recorders := startRecorder(t, testOptions{}, nil)
			client := dial(t, s.addr)
			c := receive(t, recorders, "connection").conn
			b := s.pool.NewBatch()
			for i := range 3 {
				if !c.Post(textFrame("%d", i), b) {
					t.Fatal("not taken")
				}
			}
			if st := s.pool.Stats(); st.WriteCalls != 0 || c.Queued() != 3*3 {
				t.Fatalf("%d writes of what was posted, %d bytes wait", st.WriteCalls, c.Queued())
			}
			test.write(c, b)
			for i := range 3 {
				client.want(opText, fmt.Sprint(i))
			}
			if test.last != "" {
				client.want(opText, test.last)
			}
			waitFor(t, "the writes to be counted", func() bool { return s.pool.Stats().WriteCalls == test.writes })
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.writing || c.batched || c.queued != 0 || c.queue.frames != nil {
				t.Errorf("left behind: writing %v, batched %v, %d bytes", c.writing, c.batched, c.queued)
			}
		})
	}
}

// A connection is in one batch; a later batch's frames go with the first.
func TestBatchesShareAWrite(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	client := dial(t, s.addr)
	c := receive(t, recorders, "connection").conn
	first, second := s.pool.NewBatch(), s.pool.NewBatch()
	c.Post(textFrame("1"), first)
	c.Post(textFrame("2"), second)
	if second.last != nil {
		t.Error("the connection is in two batches")
	}
	first.Flush()
	client.want(opText, "1")
	client.want(opText, "2")
	second.Flush()
	if st := s.pool.Stats(); st.WriteCalls != 1 {
		t.Errorf("%d writes", st.WriteCalls)
	}
}

// Who posts more than may wait writes it.
func TestPostIsBounded(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ size, queue, most int }{
		"frames":           {10, 0, postedFrames},
		"bytes":            {postedBytes / 5, 0, 4},
		"bytes of a queue": {postedBytes / 5, postedBytes, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, recorders := startRecorder(t, testOptions{cfg: Config{QueueBytes: test.queue}}, nil)
			client := dial(t, s.addr)
			c := receive(t, recorders, "connection").conn
			frame := NewFrame(bytes.Repeat([]byte("x"), test.size), false)
			b := s.pool.NewBatch()
			posted := 0
			for s.pool.Stats().WriteCalls == 0 {
				if !c.Post(frame, b) {
					t.Fatal("not taken")
				}
				if posted++; posted > test.most+1 {
					t.Fatalf("%d frames posted", posted)
				}
			}
			if posted != test.most+1 {
				t.Errorf("the write came with frame %d", posted)
			}
			b.Flush()
			for range posted {
				client.want(opText, string(bytes.Repeat([]byte("x"), test.size)))
			}
		})
	}
}

// A Close frame comes behind what was posted, and nothing behind it.
func TestCloseAfterPost(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	client := dial(t, s.addr)
	r := receive(t, recorders, "connection")
	b := s.pool.NewBatch()
	r.conn.Post(textFrame("1"), b)
	r.conn.Close(4000, "")
	if r.conn.Post(textFrame("2"), b) {
		t.Error("taken after Close")
	}
	b.Flush()
	client.want(opText, "1")
	client.wantClose(4000)
	client.sendClose(4000, "")
	wantClosed(t, r, LocalClosed, 4000)
}

// A connection that is cut takes nothing with it.
func TestAbortAfterPost(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	dial(t, s.addr)
	cut := receive(t, recorders, "connection")
	other := dial(t, s.addr)
	r := receive(t, recorders, "connection")
	b := s.pool.NewBatch()
	cut.conn.Post(textFrame("1"), b)
	r.conn.Post(textFrame("1"), b)
	cut.conn.Abort()
	b.Write()
	other.want(opText, "1")
	wantClosed(t, cut, Disconnected, 1006)
}

// Connections without a file descriptor do not wait for a batch.
func TestPostOverTLS(t *testing.T) {
	t.Parallel()
	s, recorders := startTLS(t, testOptions{})
	client := dialWith(t, s.addr, true)
	c := receive(t, recorders, "connection").conn
	b := s.pool.NewBatch()
	for i := range 5 {
		c.Post(textFrame("%d", i), b)
	}
	for i := range 5 {
		client.want(opText, fmt.Sprint(i))
	}
	b.Flush()
}

// Several post to the same connections, some send, the clients read slowly: each
// gets all, and what one goroutine sent in order.
func TestManyPost(t *testing.T) {
	t.Parallel()
	const clients, senders, each = 20, 4, 300
	s, recorders := startRecorder(t, testOptions{cfg: Config{QueueBytes: 64 << 20}, listener: smallBuffers(t)}, nil)
	var conns []*Conn
	var all sync.WaitGroup
	for range clients {
		client := dialSmall(t, s.addr)
		conns = append(conns, receive(t, recorders, "connection").conn)
		all.Go(func() {
			var next [senders]int
			for range senders * each {
				_, p, err := client.next()
				var who, n int
				if _, serr := fmt.Sscanf(string(p), "%d %d", &who, &n); err != nil || serr != nil {
					t.Errorf("%q: %v, %v", p, err, serr)
					return
				}
				if n != next[who] {
					t.Errorf("%d of %d came, want %d", n, who, next[who])
					return
				}
				next[who]++
			}
		})
	}
	for who := range senders {
		all.Go(func() {
			for n := range each {
				frame := NewFrame(fmt.Appendf(nil, "%d %d %s", who, n, bytes.Repeat([]byte("x"), rand.IntN(300))), false)
				b := s.pool.NewBatch()
				for i, c := range conns {
					if sends := (n+i)%7 == 0; sends && !c.Send(frame) || !sends && !c.Post(frame, b) {
						t.Error("not taken")
					}
				}
				if n%5 == 0 {
					b.Flush()
				} else {
					b.Write()
				}
			}
		})
	}
	all.Wait()
	w := &s.pool.writers
	waitFor(t, "the writers to end", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.working == 0 && len(w.queue) == 0
	})
}

// The end of the writing is told, also where somebody else's batch did it.
func TestWritten(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	client := dial(t, s.addr)
	c := receive(t, recorders, "connection").conn
	var one, two, three sync.WaitGroup
	first, second, empty := s.pool.NewLargeBatch(&one), s.pool.NewLargeBatch(&two), s.pool.NewLargeBatch(&three)
	c.Post(textFrame("1"), first)
	c.Post(textFrame("2"), second)
	first.Write()
	second.Write()
	two.Wait()
	if c.Queued() != 0 {
		t.Errorf("%d bytes wait", c.Queued())
	}
	one.Wait()
	empty.Write()
	three.Wait()
	client.want(opText, "1")
	client.want(opText, "2")
}

// Full parts do not wait for Write, and many connections are not flushed by who
// posts.
func TestParts(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	b := s.pool.NewBatch()
	var clients []*testClient
	for range partConns + maxInline + 1 {
		clients = append(clients, dial(t, s.addr))
		receive(t, recorders, "connection").conn.Post(textFrame("x"), b)
	}
	for _, c := range clients[:partConns] {
		c.want(opText, "x")
	}
	if b.last == nil || b.last.count != maxInline+1 {
		t.Errorf("last part: %+v", b.last)
	}
	b.Flush()
	for _, c := range clients[partConns:] {
		c.want(opText, "x")
	}
}

// Who posts to many while others are being written waits for a turn, and writers
// wait for who has one.
func TestTurns(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	client := dial(t, s.addr)
	c := receive(t, recorders, "connection").conn
	w := &s.pool.writers
	w.mu.Lock()
	w.working = w.turns.half() // as if some wrote
	w.mu.Unlock()
	var holders []*Batch
	for range w.turns.half() {
		holders = append(holders, s.pool.NewLargeBatch(nil))
	}
	posted := make(chan bool)
	go func() {
		b := s.pool.NewLargeBatch(nil)
		c.Post(textFrame("2"), b)
		b.Write()
		close(posted)
	}()
	c.Post(textFrame("1"), holders[0])
	select {
	case <-posted:
		t.Error("posted without a turn")
	case <-time.After(20 * time.Millisecond):
	}
	for _, b := range holders {
		b.Write()
	}
	receive(t, posted, "turn")
	w.pool.wg.Go(w.work) // which the pretended one would have done
	client.want(opText, "1")
	client.want(opText, "2")
	waitFor(t, "the writer to end", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.working == w.turns.half()-1 && !w.busy && len(w.turns) == 0
	})
	w.mu.Lock()
	w.working = 0
	w.mu.Unlock()
}

// When the pool ends, who posts writes.
func TestWriteAfterTheEnd(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	dial(t, s.addr)
	c := receive(t, recorders, "connection").conn
	var written sync.WaitGroup
	b := s.pool.NewLargeBatch(&written)
	c.Post(textFrame("1"), b)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	b.Write()
	written.Wait()
	if w := &s.pool.writers; w.working != 0 || len(w.queue) != 0 {
		t.Error("a writer after the end of the pool")
	}
}
