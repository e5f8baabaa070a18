package sqlview

import (
	"testing"

	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/presence"
)

// BenchmarkWrite measures one statement of 1,000 rows, of each kind.
func BenchmarkWrite(b *testing.B) {
	db := open(b, pgtest.URL(b))
	n := newNode(b, "a", db)
	const meta = `{"online_at":"1764000000","device":"phone","typing":false}`
	owners := make([]presence.Owner, maxRows)
	for _, kind := range []struct {
		name   string
		change func(i int)
	}{
		{"join", func(i int) { owners[i] = n.track(b, "room:1", many(i), meta) }},
		{"update", func(i int) { n.update(b, owners[i], "room:1", many(i), meta) }},
		{"leave and join", func(i int) {
			n.Untrack(owners[i], "room:1", many(i))
			owners[i] = n.track(b, "room:1", many(i), meta)
		}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				for i := range maxRows {
					kind.change(i)
				}
				b.StartTimer()
				n.work(b)
			}
		})
	}
}
