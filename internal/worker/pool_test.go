package worker

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Tasks that block hold up no other; workers stay, and end with the pool.
func TestPool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var workers sync.WaitGroup
		var ran atomic.Int32
		p := New(&workers, func(block chan struct{}) {
			<-block
			ran.Add(1)
		})
		const blocked = MaxIdle + 10
		gate, open := make(chan struct{}), make(chan struct{})
		close(open)
		for range blocked {
			p.Go(gate)
		}
		for range 1000 {
			p.Go(open)
			synctest.Wait()
		}
		if n := ran.Load(); n != 1000 {
			t.Errorf("%d of 1000 tasks ran", n)
		}
		if n := p.Idle(); n != 1 {
			t.Errorf("%d idle workers after tasks one by one", n)
		}
		close(gate)
		synctest.Wait()
		if n := p.Idle(); n != MaxIdle {
			t.Errorf("%d idle workers", n)
		}
		p.Close()
		p.Close()
		workers.Wait()
		p.Go(open)
		workers.Wait()
		if n := ran.Load(); n != 1001+blocked {
			t.Errorf("%d tasks ran", n)
		}
	})
}

func BenchmarkGo(b *testing.B) {
	deep := func(done chan<- int) {
		var frame [4 << 10]byte
		frame[len(done)] = 1
		done <- int(frame[0])
	}
	b.Run("worker", func(b *testing.B) {
		var workers sync.WaitGroup
		p := New(&workers, deep)
		done := make(chan int)
		for b.Loop() {
			p.Go(done)
			<-done
		}
		p.Close()
		workers.Wait()
	})
	b.Run("goroutine", func(b *testing.B) {
		done := make(chan int)
		for b.Loop() {
			go deep(done)
			<-done
		}
	})
}
