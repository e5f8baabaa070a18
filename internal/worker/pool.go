package worker

import (
	"sync"
	"sync/atomic"
)

// MaxIdle is how many workers stay when there is nothing to do.
const MaxIdle = 128

// A Pool runs one function for many tasks. Make it with New.
type Pool[T any] struct {
	wg    *sync.WaitGroup
	run   func(T)
	tasks chan T // to a worker that has nothing to do
	idle  atomic.Int32
	done  chan struct{}
	close sync.Once
}

// New makes a Pool whose workers are counted in wg.
func New[T any](wg *sync.WaitGroup, run func(T)) *Pool[T] {
	return &Pool[T]{wg: wg, run: run, tasks: make(chan T), done: make(chan struct{})}
}

// Go runs a task on a worker and returns at once. A task that blocks holds its
// own worker only.
func (p *Pool[T]) Go(task T) {
	select {
	case p.tasks <- task:
	default:
		p.wg.Add(1)
		go p.work(task)
	}
}

// Idle is how many workers wait for a task.
func (p *Pool[T]) Idle() int { return int(p.idle.Load()) }

// Close ends the idle workers, and the others when their tasks end. Tasks may be
// given to it still.
func (p *Pool[T]) Close() { p.close.Do(func() { close(p.done) }) }

func (p *Pool[T]) work(task T) {
	defer p.wg.Done()
	for {
		p.run(task)
		if p.idle.Add(1) > MaxIdle {
			p.idle.Add(-1)
			return
		}
		select {
		case task = <-p.tasks:
			p.idle.Add(-1)
		case <-p.done:
			p.idle.Add(-1)
			return
		}
	}
}
