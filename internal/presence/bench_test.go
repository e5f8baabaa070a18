package presence

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

const members = 5000

var benchMeta = json.RawMessage(`{"online_at":1712345678,"device":"phone","phx_ref":"GOpJxJf2wT3ToyMx"}`)

// crowd is a state with n members, in one topic or each in its own.
func crowd(b *testing.B, name string, n int, oneTopic bool) *State {
	s := NewState(replica(name))
	for i := range n {
		topic := "room:lobby"
		if !oneTopic {
			topic = fmt.Sprint("room:", i)
		}
		if _, err := s.Join(Owner(i), topic, fmt.Sprint("user:", i), benchMeta); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

func eachShape(b *testing.B, run func(b *testing.B, oneTopic bool)) {
	b.Run("one topic", func(b *testing.B) { run(b, true) })
	b.Run("5000 topics", func(b *testing.B) { run(b, false) })
}

// One join and leave among 5,000 members.
func BenchmarkJoinLeave(b *testing.B) {
	eachShape(b, func(b *testing.B, oneTopic bool) {
		s := crowd(b, "a", members, oneTopic)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if i%100 == 0 {
				s.ResetDelta()
			}
			if _, err := s.Join(members+1, "room:lobby", "user:2500x", benchMeta); err != nil {
				b.Fatal(err)
			}
			s.LeaveOwner(members + 1)
		}
	})
}

// 100 members leave and 100 others join, among 5,000 of another replica.
func BenchmarkMergeDelta(b *testing.B) {
	eachShape(b, func(b *testing.B, oneTopic bool) {
		remote, local := crowd(b, "a", members, oneTopic), NewState(replica("b"))
		introduce(remote, local)
		local.Merge(remote.ResetDelta())
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			for i := range Owner(100) {
				e := remote.LeaveOwner(i * 50)[0]
				if _, err := remote.Join(i*50, e.Topic, e.Key, benchMeta); err != nil {
					b.Fatal(err)
				}
			}
			d := remote.ResetDelta()
			b.StartTimer()
			if joins, leaves := local.Merge(d); len(joins) != 100 || len(leaves) != 100 {
				b.Fatalf("%d joins, %d leaves", len(joins), len(leaves))
			}
		}
	})
}

// 5,000 members of a replica that has just come up.
func BenchmarkMergeState(b *testing.B) {
	eachShape(b, func(b *testing.B, oneTopic bool) {
		remote := crowd(b, "a", members, oneTopic)
		d := whole(remote)
		b.ReportAllocs()
		for b.Loop() {
			local := NewState(replica("b"))
			local.ReplicaUp(remote.replica)
			if joins, _ := local.Merge(d); len(joins) != members {
				b.Fatalf("%d joins", len(joins))
			}
		}
	})
}

func BenchmarkDownUp(b *testing.B) {
	eachShape(b, func(b *testing.B, oneTopic bool) {
		s := mergedInto(NewState(replica("b")), crowd(b, "a", members, oneTopic))
		b.ReportAllocs()
		for b.Loop() {
			s.ReplicaDown(replica("a"))
			s.ReplicaUp(replica("a"))
		}
	})
}

func BenchmarkGetByTopic(b *testing.B) {
	s := mergedInto(crowd(b, "b", members/2, true), crowd(b, "a", members/2, true))
	b.Run("all up", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if list := s.GetByTopic("room:lobby"); len(list) != members {
				b.Fatal(len(list))
			}
		}
	})
	b.Run("one down", func(b *testing.B) {
		s.ReplicaUp(replica("c"))
		s.ReplicaDown(replica("c"))
		b.ReportAllocs()
		for b.Loop() {
			if list := s.GetByTopic("room:lobby"); len(list) != members {
				b.Fatal(len(list))
			}
		}
	})
	b.Run("one key", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if list := s.GetByKey("room:lobby", "user:100"); len(list) != 2 {
				b.Fatal(len(list))
			}
		}
	})
}

func BenchmarkGroup(b *testing.B) {
	list := crowd(b, "b", members, true).GetByTopic("room:lobby")
	b.ReportAllocs()
	for b.Loop() {
		Group(list)
	}
}

// presence_state for one that joins: the JSON of the list, with the list's map
// and without it.
func BenchmarkState(b *testing.B) {
	tr := lonelyTracker(b, nil)
	for i := range members {
		if _, err := tr.Track(tr.NewOwner(), "room:lobby", fmt.Sprint("user:", i), json.RawMessage(`{"online_at":1712345678,"device":"phone"}`)); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("List", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.SetBytes(int64(len(tr.List(b.Context(), "room:lobby").AppendJSON(nil))))
		}
	})
	b.Run("ListJSON", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.SetBytes(int64(len(tr.ListJSON(b.Context(), "room:lobby"))))
		}
	})
}

// A transfer of 100 changes among 5,000: from a generation, from the state, and
// of everything.
func BenchmarkExtract(b *testing.B) {
	s := crowd(b, "a", members, true)
	s.ResetDelta()
	known := s.Clocks().Context
	for i := range Owner(50) {
		s.LeaveOwner(i * 50)
		if _, err := s.Join(i*50, "room:lobby", fmt.Sprint("user:", i*50), benchMeta); err != nil {
			b.Fatal(err)
		}
	}
	g := NewGenerations()
	g.Push(s.ResetDelta())
	for _, bc := range []struct {
		name  string
		g     *Generations
		known Context
		want  int
	}{{"generation", g, known, 50}, {"state", NewGenerations(), known, 50}, {"all", NewGenerations(), clocks("a", 0), members}} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				d := s.Extract(bc.g, replica("b"), bc.known)
				if d.Values.Len() != bc.want {
					b.Fatalf("%d values, want %d", d.Values.Len(), bc.want)
				}
				size = len(AppendDelta(nil, d))
			}
			b.ReportMetric(float64(size), "bytes")
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	eachShape(b, func(b *testing.B, oneTopic bool) {
		d := crowd(b, "a", members, oneTopic).ResetDelta()
		buf := AppendDelta(nil, d)
		b.SetBytes(int64(len(buf)))
		b.ReportAllocs()
		for b.Loop() {
			buf = AppendDelta(buf[:0], d)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	eachShape(b, func(b *testing.B, oneTopic bool) {
		buf := AppendDelta(nil, crowd(b, "a", members, oneTopic).ResetDelta())
		b.SetBytes(int64(len(buf)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeDelta(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Deltas of 10 joins and 10 leaves pushed into the three generations.
func BenchmarkGenerationsPush(b *testing.B) {
	s, g := crowd(b, "a", members, true), NewGenerations()
	s.ResetDelta()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		for i := range 10 {
			owner := Owner((n*10 + i) % members)
			s.LeaveOwner(owner)
			if _, err := s.Join(owner, "room:lobby", fmt.Sprint("user:", owner), benchMeta); err != nil {
				b.Fatal(err)
			}
		}
		d := s.ResetDelta()
		b.StartTimer()
		g.Push(d)
	}
}

// 100 joins and 100 leaves into a diff, and the diff taken.
func BenchmarkDiffs(b *testing.B) {
	list := crowd(b, "b", 200, true).GetByTopic("room:lobby")
	b.ReportAllocs()
	for b.Loop() {
		ds := NewDiffs()
		ds.Add(list[:100], list[100:])
		ds.Take("room:lobby")
	}
}

// 5,000 members linger: what each broadcast period costs, and a node that
// starts.
func BenchmarkGrace(b *testing.B) {
	now := time.Unix(1000, 0)
	full := func(b *testing.B) (*State, *grace) {
		s, g := crowd(b, "a", members, true), newGrace(time.Minute)
		for owner := range Owner(members) {
			g.filter(nil, s.LeaveOwner(owner), s, now)
		}
		return s, g
	}
	b.Run("expire", func(b *testing.B) {
		_, g := full(b)
		for b.Loop() {
			g.expire(now)
		}
	})
	b.Run("hand over", func(b *testing.B) {
		_, g := full(b)
		for b.Loop() {
			appendLingers(nil, g.all(), now)
		}
	})
	b.Run("take over", func(b *testing.B) {
		s, g := full(b)
		encoded := appendLingers(nil, g.all(), now)
		for b.Loop() {
			others, err := decodeLingers(encoded, now)
			if err != nil {
				b.Fatal(err)
			}
			newGrace(time.Minute).adopt(others, s, now)
		}
		b.ReportMetric(float64(len(encoded)), "bytes")
	})
}
