package verify

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// told is what a publisher does in sound: what it learns, and whether the
// message gets there.
type told struct {
	outcome Outcome
	stored  bool
	withID  bool
}

var everyTold = []told{
	{Committed, true, true},
	{Committed, true, false},
	{Unknown, true, false},
	{Unknown, false, false},
	{RolledBack, false, false},
	{Refused, false, false},
}

// sound is a run in which nothing is broken: so many messages, told in turn, on
// two topics by two publishers, all received by two subscribers of each topic.
func sound(messages int, turn func(n int) told) Run {
	topics := []Topic{{Name: "room:a"}, {Name: "room:b"}}
	streams := []Stream{
		{Subscriber: "s1", Topic: "room:a"},
		{Subscriber: "s2", Topic: "room:a"},
		{Subscriber: "s1", Topic: "room:b"},
		{Subscriber: "s2", Topic: "room:b"},
	}
	var run Run
	for n := range messages {
		how, topic := turn(n), &topics[n%2]
		key := fmt.Sprintf("m%d", n)
		text, payload := SumOf(key+" text"), SumOf(key+" payload")
		p := Publish{Publisher: fmt.Sprintf("p%d", n/2%2), Topic: topic.Name, Event: "new_msg", Key: key, Text: text, Outcome: how.outcome}
		if how.stored {
			topic.Head++
			if how.withID {
				p.ID = topic.Head
			}
			run.Rows = append(run.Rows, Row{Topic: topic.Name, ID: topic.Head, Event: "new_msg", Key: key, Text: text, Payload: payload})
			for i := range streams {
				if s := &streams[i]; s.Topic == topic.Name {
					s.Deliveries = append(s.Deliveries, Delivery{ID: topic.Head, Event: "new_msg", Key: key, Payload: payload})
				}
			}
		}
		run.Publishes = append(run.Publishes, p)
	}
	run.Topics, run.Streams = topics, streams
	return run
}

// example has 60 messages, half of them stored.
func example() Run { return sound(60, func(n int) told { return everyTold[n/2%len(everyTold)] }) }

func TestSoundRun(t *testing.T) {
	t.Parallel()
	run := example()
	if len(run.Rows) < 30 || run.Topics[0].Head < 10 {
		t.Fatalf("the example is too small: %+v", run.Topics)
	}
	for _, v := range Check(run) {
		t.Error(v)
	}
}

func TestSoundRuns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		turns := rapid.SliceOfN(rapid.SampledFrom(everyTold), 0, 80).Draw(t, "told")
		run := sound(len(turns), func(n int) told { return turns[n] })
		run.Rows = rapid.Permutation(run.Rows).Draw(t, "rows")
		for _, v := range Check(run) {
			t.Error(v)
		}
	})
}

// publish is the nth message of this outcome.
func publish(run *Run, outcome Outcome, n int) *Publish {
	for i := range run.Publishes {
		if p := &run.Publishes[i]; p.Outcome == outcome {
			if n--; n < 0 {
				return p
			}
		}
	}
	panic("no such message in the example")
}

func rowOf(run *Run, key string) *Row {
	i := slices.IndexFunc(run.Rows, func(r Row) bool { return r.Key == key })
	return &run.Rows[i]
}

// Each violation is planted in a sound run, and must be found where it was
// planted.
func TestPlanted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plant func(*Run)
		want  []Violation // the kinds, and a part of the text
	}{
		"an acknowledged message is lost": {
			func(run *Run) {
				p := publish(run, Unknown, 2) // one that is not stored
				p.Outcome, p.ID = Committed, 3
			},
			[]Violation{{KindLost, "was acknowledged (id 3) and is not stored"}},
		},
		"a transaction's message is lost": {
			func(run *Run) {
				p := publish(run, Unknown, 2)
				p.Outcome = Committed
			},
			[]Violation{{KindLost, "was acknowledged (id 0) and is not stored"}},
		},
		"an acknowledged message has another id": {
			func(run *Run) { publish(run, Committed, 0).ID++ },
			[]Violation{{KindWrongID, "message m0"}},
		},
		"a message is stored twice": {
			func(run *Run) {
				twin := *rowOf(run, "m0")
				run.Topics[0].Head++
				twin.ID = run.Topics[0].Head
				run.Rows = append(run.Rows, twin)
				for i := range run.Streams {
					if s := &run.Streams[i]; s.Topic == twin.Topic {
						s.Deliveries = append(s.Deliveries, Delivery{twin.ID, twin.Event, twin.Key, twin.Payload})
					}
				}
			},
			[]Violation{{KindDuplicate, "message m0 of p0 is stored 2 times"}, {KindDuplicate, "s1 on room:a: was handed m0 as 1 and as"}, {KindDuplicate, "s2 on room:a: was handed m0 as 1 and as"}},
		},
		"an id is stored twice": {
			func(run *Run) {
				run.Rows = append(run.Rows, *rowOf(run, "m0"))
			},
			[]Violation{{KindDuplicate, "two messages of the id 1"}, {KindDuplicate, "message m0"}},
		},
		"an unknown message is stored twice": {
			func(run *Run) {
				p := publish(run, Unknown, 0)
				twin := *rowOf(run, p.Key)
				twin.ID++
				run.Rows = slices.DeleteFunc(run.Rows, func(r Row) bool { return r.Topic == twin.Topic && r.ID == twin.ID })
				run.Rows = append(run.Rows, twin)
			},
			[]Violation{{KindDuplicate, "is stored 2 times"}, {KindLost, ""}, {KindDifferent, "s1"}, {KindDifferent, "s2"}},
		},
		"the numbers of two messages of one publisher are exchanged": {
			func(run *Run) {
				a, b := &run.Publishes[0], &run.Publishes[12] // both of p0, on room:a, acknowledged with ids
				ra, rb := rowOf(run, a.Key), rowOf(run, b.Key)
				for i := range run.Streams {
					if s := &run.Streams[i]; s.Topic == a.Topic {
						da, db := &s.Deliveries[ra.ID-1], &s.Deliveries[rb.ID-1]
						da.ID, db.ID = db.ID, da.ID
						*da, *db = *db, *da
					}
				}
				ra.ID, rb.ID = rb.ID, ra.ID
				a.ID, b.ID = b.ID, a.ID
			},
			[]Violation{{KindOutOfOrder, "p0 published m4 after m0"}, {KindOutOfOrder, "p0 published m12 after m0"}},
		},
		"a rolled back message is stored and delivered": {
			func(run *Run) {
				key := rowOf(run, "m0").Key
				publish(run, RolledBack, 0).Key = key
				run.Publishes = slices.DeleteFunc(run.Publishes, func(p Publish) bool { return p.Key == key && p.Outcome == Committed })
			},
			[]Violation{{KindRolledBack, "message m0"}, {KindDifferent, "message m0"}},
		},
		"a rolled back message is delivered": {
			func(run *Run) {
				s := &run.Streams[0]
				s.Deliveries = append(s.Deliveries, Delivery{ID: run.Topics[0].Head + 1, Event: "new_msg", Key: publish(run, RolledBack, 0).Key})
			},
			[]Violation{{KindRolledBack, "s1 on room:a"}, {KindStranger, "s1 on room:a"}},
		},
		"a refused message is delivered": {
			func(run *Run) {
				s := &run.Streams[1]
				s.Deliveries = append(s.Deliveries, Delivery{ID: run.Topics[0].Head + 1, Event: "new_msg", Key: publish(run, Refused, 0).Key})
			},
			[]Violation{{KindRefused, "s2 on room:a"}, {KindStranger, "s2 on room:a"}},
		},
		"a refused message is stored": {
			func(run *Run) { publish(run, Unknown, 0).Outcome = Refused },
			[]Violation{{KindRefused, "message"}},
		},
		"a stored id is missing": {
			func(run *Run) {
				run.Rows = slices.DeleteFunc(run.Rows, func(r Row) bool { return r.Topic == "room:a" && r.ID == 2 })
			},
			[]Violation{{KindGap, "the table has no message 2;"}, {KindLost, ""}, {KindStranger, "s1"}, {KindStranger, "s2"}},
		},
		"the counter is behind": {
			func(run *Run) { run.Topics[0].Head-- },
			[]Violation{{KindGap, "beyond the head"}},
		},
		"the counter is ahead": {
			func(run *Run) { run.Topics[0].Head += 2 },
			[]Violation{{KindGap, "the table has no message"}, {KindNotAtHead, "s1"}, {KindNotAtHead, "s2"}},
		},
		"a subscriber misses messages in the middle": {
			func(run *Run) {
				s := &run.Streams[0]
				s.Deliveries = slices.Delete(s.Deliveries, 2, 5)
			},
			[]Violation{{KindGap, "s1 on room:a: was never handed 3 to 5"}},
		},
		"a subscriber misses the newest message": {
			func(run *Run) {
				s := &run.Streams[3]
				s.Deliveries = s.Deliveries[:len(s.Deliveries)-1]
			},
			[]Violation{{KindNotAtHead, "s2 on room:b"}},
		},
		"a subscriber gets nothing": {
			func(run *Run) { run.Streams[3].Deliveries = nil },
			[]Violation{{KindNotAtHead, "s2 on room:b: has got as far as 0"}},
		},
		"a subscriber gets messages twice": {
			func(run *Run) {
				s := &run.Streams[0]
				s.Deliveries = slices.Concat(s.Deliveries[:5], s.Deliveries[3:])
			},
			[]Violation{{KindDuplicate, "s1 on room:a: was handed 4 to 5 more than once"}},
		},
		"a subscriber gets a message late": {
			func(run *Run) {
				d := run.Streams[0].Deliveries
				d[3], d[4] = d[4], d[3]
			},
			[]Violation{{KindOutOfOrder, "s1 on room:a: was handed 4 after newer messages"}},
		},
		"a subscriber gets another payload": {
			func(run *Run) { run.Streams[0].Deliveries[3].Payload = SumOf("other") },
			[]Violation{{KindDifferent, "s1 on room:a: 4"}},
		},
		"a subscriber gets another event": {
			func(run *Run) { run.Streams[0].Deliveries[3].Event = "other" },
			[]Violation{{KindDifferent, "s1 on room:a: 4"}},
		},
		"a subscriber gets a message of another topic": {
			func(run *Run) {
				d := run.Streams[2].Deliveries[3]
				run.Streams[0].Deliveries[3] = d
			},
			[]Violation{{KindDifferent, "s1 on room:a"}},
		},
		"a subscriber gets a message without id": {
			func(run *Run) {
				s := &run.Streams[0]
				s.Deliveries = append(s.Deliveries, Delivery{Event: "new_msg", Key: "m0", Payload: s.Deliveries[0].Payload})
			},
			[]Violation{{KindDuplicate, "s1"}, {KindWrongID, "s1"}},
		},
		"a subscriber complains": {
			func(run *Run) { run.Streams[0].Complaints = []string{"reset"} },
			[]Violation{{KindComplaint, "s1 on room:a: reset"}},
		},
		"the stored text differs": {
			func(run *Run) { rowOf(run, "m0").Text = SumOf("other") },
			[]Violation{{KindDifferent, "message m0"}},
		},
		"the stored event differs": {
			func(run *Run) {
				rowOf(run, "m0").Event = "other"
				run.Streams[0].Deliveries[0].Event, run.Streams[1].Deliveries[0].Event = "other", "other"
			},
			[]Violation{{KindDifferent, "message m0"}},
		},
		"nobody published a message": {
			func(run *Run) {
				run.Publishes = slices.DeleteFunc(run.Publishes, func(p Publish) bool { return p.Key == "m0" })
			},
			[]Violation{{KindStranger, `message "m0"`}},
		},
		"a publisher is never answered": {
			func(run *Run) { publish(run, Unknown, 0).Outcome = Unanswered },
			[]Violation{{KindUnanswered, "was never acknowledged"}},
		},
		"a huge id": {
			func(run *Run) {
				s := &run.Streams[0]
				s.Deliveries = append(s.Deliveries, Delivery{ID: 1 << 62, Event: "new_msg", Key: "x"})
			},
			[]Violation{{KindStranger, "s1"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := example()
			c.plant(&run)
			got := Check(run)
			for _, want := range c.want {
				i := slices.IndexFunc(got, func(v Violation) bool { return v.Kind == want.Kind && strings.Contains(v.Detail, want.Detail) })
				if i < 0 {
					t.Errorf("not found: %v; found %v", want, got)
					continue
				}
				got = slices.Delete(got, i, i+1)
			}
			for _, v := range got {
				t.Error("found without being planted:", v)
			}
		})
	}
}

// Whatever one stream loses, repeats or exchanges is found.
func TestAnyChangeOfAStreamIsFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		run := example()
		s := &run.Streams[rapid.IntRange(0, len(run.Streams)-1).Draw(t, "stream")]
		i := rapid.IntRange(0, len(s.Deliveries)-1).Draw(t, "at")
		j := rapid.IntRange(0, len(s.Deliveries)-1).Draw(t, "and")
		switch rapid.SampledFrom([]string{"lose", "repeat", "exchange"}).Draw(t, "change") {
		case "lose":
			s.Deliveries = slices.Delete(s.Deliveries, i, i+1)
		case "repeat":
			s.Deliveries = slices.Insert(s.Deliveries, j, s.Deliveries[i])
		case "exchange":
			if i == j {
				return
			}
			s.Deliveries[i], s.Deliveries[j] = s.Deliveries[j], s.Deliveries[i]
		}
		if len(Check(run)) == 0 {
			t.Error("nothing was found")
		}
	})
}

func TestCheckWork(t *testing.T) {
	t.Parallel()
	got := CheckWork([]Amount{{"published", 9, 10}, {"faults", 6, 6}})
	if len(got) != 1 || got[0].String() != "too little: published: 9, at least 10 are needed" {
		t.Errorf("got %v", got)
	}
}
