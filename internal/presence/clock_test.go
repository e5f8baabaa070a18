package presence

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func clocks(pairs ...any) Context {
	c := make(Context)
	for i := 0; i < len(pairs); i += 2 {
		c[replica(pairs[i].(string))] = uint64(pairs[i+1].(int))
	}
	return c
}

func TestDominates(t *testing.T) {
	t.Parallel()
	c1, c2, c3 := clocks("a", 1, "b", 2, "c", 3), clocks("b", 2, "c", 3, "d", 1), clocks("a", 1, "b", 2)
	for _, tc := range []struct {
		a, b Context
		want bool
	}{
		{c1, c1, true},
		{c1, c3, true},
		{c3, c1, false},
		{c1, c2, false},
		{c2, c1, false},
		{clocks("a", 1), clocks("a", 2), false},
		{clocks("a", 9), clocks("a", 0, "b", 0), false},
		{Context{}, Context{}, true},
		{c1, Context{}, true},
		{Context{}, clocks("a", 0), false},
	} {
		if got := tc.a.Dominates(tc.b); got != tc.want {
			t.Errorf("%v dominates %v: %v", tc.a, tc.b, got)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	a, b := clocks("a", 1, "b", 2, "c", 2), clocks("a", 3, "b", 1, "d", 2)
	for _, tc := range []struct {
		name      string
		got, want Context
	}{
		{"upper", a.Upperbound(b), clocks("a", 3, "b", 2, "c", 2, "d", 2)},
		{"lower", a.Lowerbound(b), clocks("a", 1, "b", 1, "c", 2, "d", 2)},
		{"upper of nothing", Context{}.Upperbound(b), b},
		{"lower of nothing", Context{}.Lowerbound(b), b},
		{"upper with nothing", b.Upperbound(Context{}), b},
		{"filter", a.Filter(b), clocks("a", 1, "b", 2)},
		{"filter by nothing", a.Filter(Context{}), Context{}},
	} {
		if !maps.Equal(tc.got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, tc.got, tc.want)
		}
	}
	if got := a.Replicas(); !slices.Equal(got, []Replica{replica("a"), replica("b"), replica("c")}) {
		t.Errorf("replicas %v", got)
	}
}

func TestClockSet(t *testing.T) {
	t.Parallel()
	c1 := Clock{replica("a"), clocks("a", 1, "b", 2, "c", 3)}
	c2 := Clock{replica("b"), clocks("b", 2, "c", 3, "d", 1)}
	c3 := Clock{replica("c"), clocks("a", 1, "b", 2)}
	for _, tc := range []struct {
		name string
		set  ClockSet
		add  Clock
		want string
	}{
		{"the first", nil, c1, "a"},
		{"an empty one", ClockSet{c1}, Clock{Replica: replica("x")}, "a"},
		{"dominated by the combination of others", ClockSet{c2, c3}, c1, "bc"},
		{"dominated by one", ClockSet{c1, c2}, c3, "ab"},
		{"one that is there", ClockSet{c1, c2}, c2, "ab"},
		{"not comparable", ClockSet{c1, c3}, c2, "acb"},
		{"dominating one of two", ClockSet{c3, c2}, c1, "cb"},
		{"dominating one", ClockSet{c3}, c1, "a"},
		{"dominating all", ClockSet{c2, c3}, Clock{replica("x"), clocks("a", 9, "b", 9, "c", 9, "d", 9)}, "x"},
	} {
		got := ""
		for _, c := range tc.set.Append(tc.add) {
			got += c.Replica.Name
		}
		if got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestToSync(t *testing.T) {
	t.Parallel()
	own := Clock{replica("a"), clocks("a", 5, "b", 5, "c", 5)}
	for _, tc := range []struct {
		name  string
		heard []Clock
		want  string
	}{
		{"nothing heard", nil, ""},
		{"nothing new", []Clock{{replica("b"), clocks("a", 4, "b", 5, "c", 1)}}, ""},
		{"news", []Clock{{replica("b"), clocks("b", 6)}}, "b"},
		{"two with the same news", []Clock{{replica("b"), clocks("b", 5, "c", 6)}, {replica("c"), clocks("b", 5, "c", 6)}}, "b"},
		{"two with different news", []Clock{{replica("c"), clocks("b", 5, "c", 6)}, {replica("b"), clocks("b", 6, "c", 5)}}, "bc"},
		{"a better one later", []Clock{{replica("b"), clocks("b", 6)}, {replica("c"), clocks("b", 6, "c", 6)}}, "c"},
		{"one with news, one without", []Clock{{replica("b"), clocks("b", 6, "c", 1)}, {replica("c"), clocks("c", 4)}}, "b"},
		{"news of somebody unknown", []Clock{{replica("b"), clocks("b", 5, "x", 6)}}, ""},
		{"itself", []Clock{{replica("a"), clocks("a", 9, "b", 9)}}, ""},
		{"one heard twice", []Clock{{replica("b"), clocks("b", 6, "c", 1)}, {replica("b"), clocks("b", 5, "c", 7)}}, "b"},
	} {
		var set ClockSet
		for _, c := range tc.heard {
			set = set.Append(c)
		}
		got := ""
		for _, r := range set.ToSync(own) {
			got += r.Name
		}
		if got != tc.want {
			t.Errorf("%s: asks %q, want %q", tc.name, got, tc.want)
		}
	}
}

// What is asked knows all the news together, and nobody is asked in vain.
func TestToSyncAsksForAllNews(t *testing.T) {
	t.Parallel()
	clocks := rapid.MapOfN(rapid.SampledFrom([]Replica{replica("a"), replica("b"), replica("c"), replica("d")}), rapid.Uint64Range(0, 3), 1, 4)
	rapid.Check(t, func(t *rapid.T) {
		own := Clock{replica("a"), Context(clocks.Draw(t, "own"))}
		var set ClockSet
		all := maps.Clone(own.Context)
		heard := make(map[Replica]Context)
		for _, name := range []string{"b", "c", "d"} {
			c := Context(clocks.Draw(t, name))
			heard[replica(name)] = c
			set = set.Append(Clock{replica(name), c})
			all = all.Upperbound(c.Filter(own.Context))
		}
		learned := maps.Clone(own.Context)
		for _, r := range set.ToSync(own) {
			if own.Context.Dominates(heard[r].Filter(own.Context)) {
				t.Fatalf("%v has nothing new", r)
			}
			learned = learned.Upperbound(heard[r].Filter(own.Context))
		}
		if !maps.Equal(learned, all) {
			t.Fatalf("learned %v of %v", learned, all)
		}
	})
}

func TestCloudIsASet(t *testing.T) {
	t.Parallel()
	clocks := rapid.SliceOfN(rapid.Uint64Range(1, 40), 0, 30)
	rapid.Check(t, func(t *rapid.T) {
		build := func(name string) (Cloud, map[uint64]bool) {
			var c Cloud
			model := make(map[uint64]bool)
			for _, clock := range clocks.Draw(t, name) {
				c.Add(clock)
				model[clock] = true
			}
			return c, model
		}
		check := func(c Cloud, model map[uint64]bool) {
			if c.Len() != len(model) {
				t.Fatalf("%v has %d, want %v", c, c.Len(), model)
			}
			for clock := range uint64(42) {
				if c.Has(clock) != model[clock] {
					t.Fatalf("%v has %d: %v", c, clock, c.Has(clock))
				}
			}
			for i := range c {
				if c[i].hi < c[i].lo || i > 0 && c[i].lo <= c[i-1].hi+1 {
					t.Fatalf("spans touch: %v", c)
				}
			}
		}
		a, inA := build("a")
		b, inB := build("b")
		check(a, inA)
		union := a.Union(b)
		maps.Copy(inB, inA)
		check(union, inB)
		check(a, inA)

		from := rapid.Uint64Range(0, 41).Draw(t, "clock")
		clock, rest := a.compact(from)
		for c := range uint64(42) {
			known := c > 0 && (c <= from || inA[c])
			if now := c > 0 && (c <= clock || rest.Has(c)); now != known {
				t.Fatalf("compacting %v from %d gives %d, %v: %d is known: %v", a, from, clock, rest, c, now)
			}
		}
		if rest.Has(clock + 1) {
			t.Fatalf("compacting %v from %d stops at %d", a, from, clock)
		}
	})
}
