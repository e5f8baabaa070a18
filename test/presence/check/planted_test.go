package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

// A stage is a check with two observers, of node 1 and of node 2, and two
// members: ann (meta 1) on node 1, bob (meta 2) on node 2.
type stage struct {
	*check
	t *testing.T
}

// told are reports of phoenix.js's observers, which a stage has none of.
type told []report

func (r told) begin() error { return nil }

func (r told) reports(context.Context) ([]report, error) { return r, nil }

func (r told) cut(int) {}

func (r told) stop() {}

func newStage(t *testing.T) *stage {
	t.Helper()
	c := &cluster{nodes: []*node{{Node: &harness.Node{Name: "node-1"}}, {Node: &harness.Node{Name: "node-2"}}}}
	a := &audience{cluster: c, phoenix: told{}}
	for home := range c.nodes {
		a.observers = append(a.observers, newObserver(fmt.Sprintf("observer of node %d", home+1), home, []string{bigTopic}, c))
	}
	k := &check{
		journal: harness.NewJournal(io.Discard), cluster: c, judge: &judge{},
		scene: scene{&crowd{cluster: c, roll: newRoll()}, a}, phase: "test", hidden: nobody,
	}
	s := &stage{k, t}
	k.crowd.roll.enter(bigTopic, "ann", 0)
	k.crowd.roll.enter(bigTopic, "bob", 1)
	for _, o := range a.observers {
		s.tell(o, "presence_state", `{"ann":{"metas":[{"id":1,"phx_ref":"a"}]},"bob":{"metas":[{"id":2,"phx_ref":"b"}]}}`)
	}
	return s
}

func (s *stage) observer(home int) *observer { return s.audience.observers[home] }

// tell gives an observer an event of the big topic.
func (s *stage) tell(o *observer, event, payload string) {
	s.t.Helper()
	frame := fmt.Sprintf(`["1",null,%q,%q,%s]`, bigTopic, event, payload)
	if err := o.handle([]byte(frame), func(string) string { return "1" }, time.Now()); err != nil {
		s.t.Fatal(err)
	}
}

const (
	annJoins   = `{"joins":{"ann":{"metas":[{"id":1,"phx_ref":"a"}]}},"leaves":{}}`
	annLeaves  = `{"joins":{},"leaves":{"ann":{"metas":[{"id":1,"phx_ref":"a"}]}}}`
	eveJoins   = `{"joins":{"eve":{"metas":[{"id":3,"phx_ref":"e"}]}},"leaves":{}}`
	annUpdates = `{"joins":{"ann":{"metas":[{"id":3,"phx_ref":"c"}]}},"leaves":{"ann":{"metas":[{"id":1,"phx_ref":"a"}]}}}`
)

// verdict is what the check finds, without the lists of servers.
func (s *stage) verdict() []string {
	s.t.Helper()
	if err := s.verify(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	var found []string
	for _, v := range s.judge.found {
		found = append(found, v.String())
	}
	return found
}

// want is the one violation that is to be found; "" for none.
func (s *stage) want(want string) {
	s.t.Helper()
	found := s.verdict()
	if want == "" && len(found) > 0 || want != "" && (len(found) != 1 || !strings.Contains(found[0], want)) {
		s.t.Errorf("found %q, want %q", found, want)
	}
}

func TestNothingPlanted(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	// An update is the leave of a meta that is intended no more.
	s.crowd.roll.strike(bigTopic, 1)
	s.crowd.roll.enter(bigTopic, "ann", 0)
	for _, o := range s.audience.observers {
		s.tell(o, "presence_diff", annUpdates)
	}
	s.want("")
}

func TestMissingMember(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.crowd.roll.enter(bigTopic, "eve", 0)
	s.tell(s.observer(0), "presence_diff", eveJoins)
	s.want("missing member: observer of node 2, crowd:big: [eve (meta 3)]")
}

func TestGhostMember(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.tell(s.observer(1), "presence_diff", eveJoins)
	s.want("ghost member: observer of node 2, crowd:big: [eve (meta 3)]")
}

// A meta that is shown under another key, or twice, is a ghost.
func TestGhostMeta(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]listing{
		"another key": {"ann": {1}, "bob": {2}, "eve": {1}},
		"twice":       {"ann": {1, 1}, "bob": {2}},
		"empty":       {"ann": {1}, "bob": {2}, "eve": {}},
	} {
		j := &judge{}
		j.compare("test", "somebody", bigTopic, l, map[int]entry{1: {key: "ann"}, 2: {key: "bob"}})
		if len(j.found) != 1 || j.found[0].kind != kindGhost {
			t.Errorf("%s: found %v", name, j.found)
		}
	}
}

// phoenix.js's observers are judged as the others are, and so are lists.
func TestMissingMemberOfPhoenix(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.audience.phoenix = told{{Name: "phoenix.js 1", Topics: map[string]listing{bigTopic: {"ann": {1}}}}}
	s.want("missing member: phoenix.js 1, crowd:big: [bob (meta 2)]")
}

func TestFlicker(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.tell(s.observer(1), "presence_diff", annLeaves)
	s.tell(s.observer(1), "presence_diff", annJoins)
	s.want("flicker: observer of node 2: [ann (meta 1, of node 1)]")
}

// A list that lacks a member is a flicker, even if a diff brings it back.
func TestFlickerByState(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.tell(s.observer(1), "presence_state", `{"bob":{"metas":[{"id":2,"phx_ref":"b"}]}}`)
	s.tell(s.observer(1), "presence_diff", annJoins)
	s.want("flicker: observer of node 2: [ann (meta 1, of node 1)]")
}

// Who is cut off may seem to have left to others, but not to his own node.
func TestFlickerOfHidden(t *testing.T) {
	t.Parallel()
	for home, want := range []string{"flicker: observer of node 1: [ann (meta 1, of node 1)]", ""} {
		s := newStage(t)
		s.hidden = 0
		s.tell(s.observer(home), "presence_diff", annLeaves)
		s.tell(s.observer(home), "presence_diff", annJoins)
		s.want(want)
	}
}

func TestLate(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]string{
		2 * time.Second:  "",
		4 * time.Second:  "late: knowing took 4",
		40 * time.Second: "missing member: observer of node 2, crowd:big: [eve (meta 3)]",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			s.crowd.roll.enter(bigTopic, "eve", 0)
			s.tell(s.observer(0), "presence_diff", eveJoins)
			told := time.AfterFunc(after, func() { s.tell(s.observer(1), "presence_diff", eveJoins) })
			defer told.Stop()
			if err := s.settle(t.Context(), s.scene, "knowing", time.Now(), 3*time.Second); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Until(time.Now().Add(time.Minute)))
			s.want(want)
		})
	}
}

func TestLateDisappearance(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]string{
		9 * time.Second:  "",
		11 * time.Second: "late: the disappearance took 11",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			ids := s.crowd.roll.intention().idsOf(0)
			s.crowd.roll.strike(bigTopic, 1)
			s.tell(s.observer(0), "presence_diff", annLeaves)
			told := time.AfterFunc(after, func() { s.tell(s.observer(1), "presence_diff", annLeaves) })
			defer told.Stop()
			everybody := func(int) bool { return true }
			if err := s.gone(t.Context(), "the disappearance", ids, everybody, time.Now(), killLimit); err != nil {
				t.Fatal(err)
			}
			s.want(want)
		})
	}
}

// What the checker itself was late by is not held against the servers.
func TestStalls(t *testing.T) {
	t.Parallel()
	start := time.Now()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	s := newStage(t)
	s.stalls.all = []stall{{at(1), 2 * time.Second}, {at(5), 2 * time.Second}}
	s.timed("this", at(2), at(6), 2*time.Second) // 1 s of each
	s.want("")
	s.timed("that", at(3), at(6), time.Second)
	s.want("late: that took 2s, the limit is 1s")
}

func TestTooManyDiffs(t *testing.T) {
	t.Parallel()
	for interval, want := range map[time.Duration]string{
		50 * time.Millisecond: "",
		47 * time.Millisecond: "too many diffs: observer of node 1: 22 in a second, the limit is 20",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			for range 60 {
				s.tell(s.observer(0), "presence_diff", `{"joins":{},"leaves":{}}`)
				time.Sleep(interval)
			}
			s.want(want)
		})
	}
}

func TestDisconnected(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.crowd.disconnected(&member{key: "ann"}, errors.New("cut"))
	s.mayLose = true
	s.want("")
	s.mayLose = false
	s.crowd.disconnected(&member{key: "ann"}, errors.New("cut"))
	s.want("disconnected: [ann: cut]")
}

// deploying is a stage in the phase rolling, where both members are patients.
func deploying(t *testing.T) (*stage, *deploy) {
	t.Helper()
	s := newStage(t)
	for _, o := range s.audience.observers {
		o.keys = true
	}
	return s, &deploy{check: s.check, patients: s.scene, left: map[string]string{}}
}

func (s *stage) wantOf(d *deploy, want string) {
	s.t.Helper()
	if err := d.verifyPatients(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	var found []string
	for _, v := range s.judge.found {
		found = append(found, v.String())
	}
	if want == "" && len(found) > 0 || want != "" && (len(found) != 1 || !strings.Contains(found[0], want)) {
		s.t.Errorf("found %q, want %q", found, want)
	}
}

// ann loses her connection and comes back with another meta.
const (
	annsFirstLeaves = annLeaves
	annsNextJoins   = `{"joins":{"ann":{"metas":[{"id":3,"phx_ref":"c"}]}},"leaves":{}}`
)

func (s *stage) annReturns() {
	s.crowd.roll.strike(bigTopic, 1)
	s.crowd.roll.enter(bigTopic, "ann", 1)
}

func TestDeployUnseen(t *testing.T) {
	t.Parallel()
	for name, diffs := range map[string][]string{
		"replaced":            {annUpdates},
		"there twice between": {annsNextJoins, annsFirstLeaves},
	} {
		s, d := deploying(t)
		s.annReturns()
		for _, o := range s.audience.observers {
			for _, diff := range diffs {
				s.tell(o, "presence_diff", diff)
			}
		}
		t.Log(name)
		s.wantOf(d, "")
	}
}

// Every meta that is told to leave is struck: only the key shows the flicker.
func TestDeployFlicker(t *testing.T) {
	t.Parallel()
	s, d := deploying(t)
	s.annReturns()
	s.tell(s.observer(0), "presence_diff", annUpdates)
	s.tell(s.observer(1), "presence_diff", annsFirstLeaves)
	s.tell(s.observer(1), "presence_diff", annsNextJoins)
	if err := d.verifyPatients(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"test: flicker: observer of node 2 was told that these joined: [crowd:big ann (1 times)]",
		"test: flicker: observer of node 2 was told that these left: [crowd:big ann (1 times)]",
	}
	for i, v := range s.judge.found {
		if len(s.judge.found) != len(want) || v.String() != want[i] {
			t.Errorf("found %q, want %q", s.judge.found, want)
		}
	}
	if len(s.judge.found) == 0 {
		t.Error("nothing found")
	}
}

// An observer that goes on at a node which does not know ann yet.
func TestDeployFlickerByState(t *testing.T) {
	t.Parallel()
	s, d := deploying(t)
	s.tell(s.observer(1), "presence_state", `{"bob":{"metas":[{"id":2,"phx_ref":"b"}]}}`)
	s.crowd.roll.strike(bigTopic, 1)
	s.tell(s.observer(0), "presence_diff", annLeaves)
	d.left[place(bigTopic, "ann")] = bigTopic // who does not come back may go
	s.wantOf(d, "")
	s.tell(s.observer(1), "presence_diff", annJoins)
	s.tell(s.observer(1), "presence_diff", annLeaves)
	s.judge.found = nil
	if err := d.verifyPatients(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := fmt.Sprint(s.judge.found); !strings.Contains(found, "left: [crowd:big ann (2 times)]") || !strings.Contains(found, "joined: [crowd:big ann (1 times)]") {
		t.Errorf("found %s", found)
	}
}

func TestDeployFlickerOfPhoenix(t *testing.T) {
	t.Parallel()
	s, d := deploying(t)
	s.audience.phoenix = told{{
		Name: "phoenix.js 1", Topics: map[string]listing{bigTopic: {"ann": {1}, "bob": {2}}},
		Went: map[string]int{place(bigTopic, "ann"): 1},
	}}
	s.wantOf(d, "flicker: phoenix.js 1 was told that these left: [crowd:big ann (1 times)]")
}

// Who does not come back has to be told as leaving.
func TestDeployLeaveNotTold(t *testing.T) {
	t.Parallel()
	s, d := deploying(t)
	s.crowd.roll.strike(bigTopic, 1)
	d.left[place(bigTopic, "ann")] = bigTopic
	s.tell(s.observer(0), "presence_diff", annLeaves)
	delete(s.observer(1).lists[bigTopic].metas, "ann")
	s.wantOf(d, "ghost member: observer of node 2 was not told that these left: [crowd:big ann]")
}

func TestDepartureInTime(t *testing.T) {
	t.Parallel()
	due := time.Now()
	for after, want := range map[time.Duration]string{
		-3 * time.Second: "flicker: who did not come back was gone 3s before",
		time.Second:      "",
		3 * time.Second:  "late: the departure",
	} {
		s, d := deploying(t)
		d.departure(due.Add(after), true, due)
		s.want(want)
	}
}

// Who was away for longer than the grace period may go and come.
func TestDeployTooLate(t *testing.T) {
	t.Parallel()
	for away, want := range map[time.Duration]int{19 * time.Second: 0, 17 * time.Second: 2} {
		s, d := deploying(t)
		d.crowd.members = make([]*member, 10)
		d.crowd.tooLong = 18 * time.Second
		d.crowd.returned(bigTopic, "ann", away)
		s.annReturns()
		s.tell(s.observer(0), "presence_diff", annUpdates)
		s.tell(s.observer(1), "presence_diff", annsFirstLeaves)
		s.tell(s.observer(1), "presence_diff", annsNextJoins)
		if err := d.verifyPatients(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(s.judge.found) != want {
			t.Errorf("away for %v: found %v", away, s.judge.found)
		}
	}
}
