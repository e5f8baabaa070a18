package presence

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// sameDelta compares what two deltas tell.
func sameDelta(a, b *Delta) bool {
	sameEntry := func(a, b *Entry) bool {
		return a.Compare(b) == 0 && a.Tag == b.Tag && bytes.Equal(a.Meta, b.Meta)
	}
	return maps.Equal(a.Range.Start, b.Range.Start) && maps.Equal(a.Range.End, b.Range.End) &&
		maps.EqualFunc(a.Clouds, b.Clouds, slices.Equal[Cloud]) &&
		maps.EqualFunc(a.Values, b.Values, func(a, b map[uint64]*Entry) bool { return maps.EqualFunc(a, b, sameEntry) })
}

func TestEncodedDeltas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		for _, d := range drawHistory(t).sent {
			b := AppendDelta(nil, d)
			if again := AppendDelta(nil, d.clone()); !bytes.Equal(b, again) {
				t.Fatalf("encoded to %q and to %q", b, again)
			}
			got, err := DecodeDelta(b)
			if err != nil || !sameDelta(got, d) {
				t.Fatalf("decoded %+v, %v, want %+v", got, err, d)
			}
			clear(b)
			if !sameDelta(got, d) {
				t.Fatal("what is decoded points into the message")
			}
		}
	})
}

func TestEncodedClocks(t *testing.T) {
	t.Parallel()
	replicas := rapid.Custom(func(t *rapid.T) Replica {
		return Replica{rapid.StringN(0, 5, 20).Draw(t, "name"), rapid.Uint64().Draw(t, "vsn")}
	})
	rapid.Check(t, func(t *rapid.T) {
		c := Clock{replicas.Draw(t, "replica"), rapid.MapOf(replicas, rapid.Uint64Max(maxClock)).Draw(t, "context")}
		got, err := DecodeClock(AppendClock(nil, c))
		if err != nil || got.Replica != c.Replica || !maps.Equal(got.Context, c.Context) {
			t.Fatalf("decoded %v, %v, want %v", got, err, c)
		}
	})
}

// example is a delta with all there can be.
func example(t must) *Delta {
	a, b := NewState(Replica{"node-a", 7}), NewState(Replica{"node-b", math.MaxUint64})
	introduce(a, b)
	join(t, a, 1, "lobby", "élan")
	join(t, a, math.MaxUint64, "lobby", "")
	join(t, a, 2, "", "bob")
	a.LeaveOwner(2)
	join(t, b, 1, "lobby", "bob")
	b.ResetDelta()
	b.LeaveOwner(1)
	a.Merge(b.ResetDelta())
	return whole(a)
}

func TestTheFormat(t *testing.T) {
	t.Parallel()
	got := fmt.Sprintf("%q", AppendDelta(nil, example(t)))
	want := `"\x01\x02\x02\x06node-a\a\x06node-b\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01\x05lobby` +
		`\x01\x00\x04\x01\x01\x03\x02\x01\x00\x01\x05élan\x02{}\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x02{}` +
		`\x01\x00\x02\x01\x01\x01\x00"`
	if got != want {
		t.Errorf("delta:\n%s, want\n%s", got, want)
	}
	got = fmt.Sprintf("%q", AppendClock(nil, Clock{Replica{"b", 2}, Context{{"b", 2}: 300, {"a", 1}: 0}}))
	if want = `"\x01\x01\x02\x01a\x01\x01b\x02\x01\x02\x00\x00\x01\xac\x02"`; got != want {
		t.Errorf("clock: %s, want %s", got, want)
	}
}

func TestMalformedMessages(t *testing.T) {
	t.Parallel()
	const head = "\x01\x02\x01\x01a\x01" // delta of replica a@1
	for _, tc := range []struct{ name, message, want string }{
		{"nothing", "", "no version and kind"},
		{"another version", "\x02\x02\x00\x00", "version 2, this is 1"},
		{"a clock", "\x01\x01\x00\x00", "kind 1, not 2"},
		{"too many replicas", "\x01\x02\xff\xff\x03", "65535 replicas, 0 are possible"},
		{"more replicas than allowed", "\x01\x02\x81\x20" + strings.Repeat("\x00\x00", 5000), "4097 replicas, 4096 are possible"},
		{"an endless number", "\x01\x02" + strings.Repeat("\xff", 11), "no number for the count of replicas"},
		{"a long name", "\x01\x02\x01\x09a", "a name of 9 bytes, 1 are left"},
		{"a name that is no text", "\x01\x02\x01\x01\xff\x01\x00\x00\x00\x00", "a name that is not UTF-8"},
		{"a replica twice", "\x01\x02\x02\x01a\x01\x01a\x01\x00", "replicas are not in order"},
		{"topics not in order", head + "\x02\x01y\x01x", "topics are not in order"},
		{"a range that is none", head + "\x00\x02", "range 2, neither 0 nor 1"},
		{"a range too long", head + "\x00\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "after 1"},
		{"clock 0", head + "\x00\x00\x01\x00\x00\x00", "span 0 after 0"},
		{"spans that touch", head + "\x00\x00\x02\x01\x00\x01\x00\x00", "span 1 after 1"},
		{"a value that is not in the cloud", head + "\x01\x01x\x00\x01\x01\x00\x01\x02\x00\x01\x01k\x02{}", "value 2 is not in its cloud"},
		{"a topic that is not there", head + "\x01\x01x\x00\x01\x01\x00\x01\x01\x01\x01\x01k\x02{}", "topic 1 of 1"},
		{"a meta that is no JSON", head + "\x01\x01x\x00\x01\x01\x00\x01\x01\x00\x01\x01k\x02{{", "a meta that is not JSON"},
		{"a key that is no text", head + "\x01\x01x\x00\x01\x01\x00\x01\x01\x00\x01\x01\xff\x02{}", "a key that is not UTF-8"},
		{"more than a message", head + "\x00\x00\x00\x00\x00", "1 bytes follow the message"},
	} {
		d, err := DecodeDelta([]byte(tc.message))
		if d != nil || !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, %v, want %s", tc.name, d, err, tc.want)
		}
	}
	b := AppendDelta(nil, example(t))
	for n := range b {
		if _, err := DecodeDelta(b[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
	b = AppendClock(nil, Clock{Replica{"b", 2}, Context{{"b", 2}: 300, {"a", 1}: 0}})
	for n := range b {
		if c, err := DecodeClock(b[:n]); !errors.Is(err, ErrMalformed) || c.Context != nil {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
	for _, tc := range []struct{ name, message, want string }{
		{"a replica that is not there", "\x01\x01\x01\x01a\x01\x01\x00", "replica 1 of 1"},
		{"none at all", "\x01\x01\x00\x00\x00", "replica 0 of 0"},
		{"a clock twice", "\x01\x01\x02\x01a\x01\x01b\x01\x00\x02\x00\x05\x00\x05", "replicas are not in order"},
	} {
		if _, err := DecodeClock([]byte(tc.message)); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
		}
	}
}

// What is accepted has the invariants, says the same when encoded again, and
// can be merged, also when it claims all the clocks there are.
func FuzzDecodeDelta(f *testing.F) {
	f.Add(AppendDelta(nil, example(f)))
	f.Add(AppendDelta(nil, newDelta()))
	f.Add([]byte("\x01\x02\x01\x01a\x01\x01\x01x\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x01\x01\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x01\x01\x00\x01\x01k\x02{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := DecodeDelta(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		checkDelta(t, d)
		again, err := DecodeDelta(AppendDelta(nil, d))
		if err != nil || !sameDelta(again, d) {
			t.Fatalf("%+v, encoded again %+v, %v", d, again, err)
		}
		s, g := NewState(Replica{"node-a", 7}), NewGenerations()
		for r := range d.Clouds {
			s.ReplicaUp(r)
		}
		s.Merge(d)
		checkInvariants(t, s)
		if joins, leaves := s.Merge(d); len(joins)+len(leaves) > 0 {
			t.Fatalf("merged twice: joins %v, leaves %v", joins, leaves)
		}
		g.Push(d)
		g.Push(d)
		if d.Size() < 0 {
			t.Fatalf("size %d", d.Size())
		}
		checkDelta(t, s.Extract(g, Replica{"other", 1}, clocks("a", 1)))
	})
}

func FuzzDecodeClock(f *testing.F) {
	f.Add(AppendClock(nil, Clock{Replica{"b", 2}, Context{{"b", 2}: 300, {"a", 1}: 0}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeClock(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		again, err := DecodeClock(AppendClock(nil, c))
		if err != nil || again.Replica != c.Replica || !maps.Equal(again.Context, c.Context) {
			t.Fatalf("%v, encoded again %v, %v", c, again, err)
		}
	})
}
