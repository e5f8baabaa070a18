package sock

// maxIdleWorkers is how many workers stay when there is nothing to do: a worker
// keeps a stack that has grown, which a new goroutine would have to grow again.
const maxIdleWorkers = 32

// work lets a worker serve c, a new one if none is idle: a handler that blocks
// holds its own worker only.
func (p *Pool) work(c *Conn) {
	select {
	case p.jobs <- c:
	default:
		p.wg.Go(func() { p.worker(c) })
	}
}

func (p *Pool) worker(c *Conn) {
	for {
		c.serve()
		c.in.turn.Done()
		if p.idleWorkers.Add(1) > maxIdleWorkers {
			p.idleWorkers.Add(-1)
			return
		}
		select {
		case c = <-p.jobs:
			p.idleWorkers.Add(-1)
		case <-p.done:
			p.idleWorkers.Add(-1)
			return
		}
	}
}
