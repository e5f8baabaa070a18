package sock

import (
	"slices"
	"testing"
)

// When nearly all have left, neither the pool nor its sweeper keeps a place for
// each of them, and those who stay are still found and removed.
func TestListsShrink(t *testing.T) {
	t.Parallel()
	p := NewPool(Config{})
	const count, stay = 10_000, 10
	conns := make([]*Conn, count)
	for i := range conns {
		conns[i] = &Conn{pool: p}
		if !p.add(conns[i]) {
			t.Fatal("the pool is closed")
		}
	}
	list := p.snapshot(nil)
	if len(list) != count || cap(p.conns) < count {
		t.Fatalf("%d of %d connections, in a list of %d places", len(list), count, cap(p.conns))
	}
	for _, c := range conns[stay:] {
		p.remove(c)
	}
	list = p.snapshot(list)
	for _, c := range conns[:stay] {
		if !slices.Contains(list, c) {
			t.Fatal("one who stays is not swept")
		}
	}
	if len(list) != stay || cap(list) > smallList || cap(p.conns) > smallList {
		t.Errorf("%d connections, in lists of %d and %d places", len(list), cap(list), cap(p.conns))
	}
	for _, c := range conns[:stay] {
		p.remove(c)
	}
	if len(p.conns) != 0 {
		t.Errorf("%d connections are left", len(p.conns))
	}
	p.wg.Wait()
}

// A list that is well used, or small, stays what it is.
func TestListsStay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		places, used int
		want         bool
	}{
		{smallList, 0, false}, {smallList + 1, 0, true}, {4096, 1024, false}, {4096, 1023, true},
	} {
		if got := tooLarge(c.places, c.used); got != c.want {
			t.Errorf("%d of %d places used: %v", c.used, c.places, got)
		}
	}
}
