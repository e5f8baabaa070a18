package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	wardOf = 15 // patients of each ward
	// leavers are the patients who do not come back.
	leavers = 6
	// graceMargin is how much sooner than planned those who are held back are let
	// go, lest a slow machine makes them too late, and how early a leave may seem:
	// a server notices the end of a connection before its client does.
	graceMargin = 2 * time.Second
	// noticeLimit is how long it may take the others to notice a killed node.
	noticeLimit = killLimit + patience
)

// A deploy is one run of the phase rolling: patients, who are in topics with a
// grace period, and those who watch them.
type deploy struct {
	*check
	patients scene
	left     map[string]string // topics of those who did not come back, by place
}

// rolling: all nodes are stopped and started again, one after the other, then one
// is killed. Patients come back within the grace period, on any node: nobody sees
// a key leave or join, but those of the few who do not come back, once.
func (k *check) rolling(ctx context.Context) error {
	k.mayLose = true
	k.rolls++
	d := &deploy{check: k, left: map[string]string{}}
	w := watch{
		name: "phoenix-rolling", big: fmt.Sprintf("patient:%d-all", k.rolls), keys: true,
		observers: min(3, k.settings.observers), phoenix: min(2, k.settings.phoenix),
	}
	wardOfPatient := func(number int) string { return fmt.Sprintf("patient:%d-ward-%02d", k.rolls, number/wardOf) }
	for number := 0; number < k.settings.patients; number += wardOf {
		w.small = append(w.small, wardOfPatient(number))
	}
	d.patients.crowd = newPatients(k.cluster, k.settings.patients, w.big, wardOfPatient)
	var err error
	if d.patients.audience, err = newAudience(k.settings, w, k.cluster); err != nil {
		return err
	}
	defer d.patients.audience.phoenix.stop()
	ctx, stop := context.WithCancel(ctx)
	defer d.patients.audience.running.Wait()
	defer d.patients.crowd.running.Wait()
	defer stop()
	d.patients.audience.start(ctx)
	if err := d.admit(ctx); err != nil {
		return err
	}
	if err := d.rollOut(ctx); err != nil {
		return err
	}
	return d.afterwards(ctx)
}

// newPatients makes the patients, each in the topic of all and in a ward.
func newPatients(c *cluster, n int, all string, ward func(number int) string) *crowd {
	cr := &crowd{cluster: c, roll: newRoll(), tooLong: gracePeriod - graceMargin}
	for i := range n {
		m := &member{
			number: i, key: fmt.Sprintf("patient-%04d", i), home: i % len(c.nodes),
			crowd: cr, topics: map[string]*membership{all: {}, ward(i): {}},
		}
		m.node = m.home
		cr.wanted.Add(int64(len(m.topics)))
		cr.members = append(cr.members, m)
	}
	return cr
}

// admit has the patients come: what follows is judged.
func (d *deploy) admit(ctx context.Context) error {
	d.patients.crowd.connect(ctx, time.Millisecond)
	joined, err := d.patients.crowd.awaitJoined(ctx, joinLimit)
	if err != nil {
		return err
	}
	if err := d.settle(ctx, d.patients, "knowing of the last patient", joined, changeLimit); err != nil {
		return err
	}
	reports, err := d.patients.audience.reports(ctx)
	if err != nil {
		return err
	}
	for _, r := range reports {
		if len(r.Came) != r.keys() {
			return fmt.Errorf("%s has %d keys, and says that %d came", r.Name, r.keys(), len(r.Came))
		}
	}
	return d.patients.audience.begin()
}

// rollOut restarts the nodes, and kills one. Who does not come back was on the
// first, so that each node has to learn of them from another one.
func (d *deploy) rollOut(ctx context.Context) error {
	gone := pickLeavers(d.patients.crowd.at(0))
	ids := d.patients.crowd.roll.intention().idsOfKeys(gone)
	lost, err := d.restartNode(ctx, 0, d.stopNode)
	if err != nil {
		return err
	}
	d.strike(ctx, gone)
	due := lost.Add(gracePeriod)
	var at time.Time
	var done bool
	var waiting errgroup.Group
	waiting.Go(func() (err error) {
		at, done, err = d.patients.audience.gone(ctx, ids, func(int) bool { return true }, due.Add(stopLimit+patience))
		return err
	})
	if err := errors.Join(d.restartOthers(ctx), waiting.Wait()); err != nil {
		return err
	}
	d.departure(at, done, due)
	return nil
}

func (d *deploy) restartOthers(ctx context.Context) error {
	for node := 1; node < len(d.cluster.nodes); node++ {
		if _, err := d.restartNode(ctx, node, d.stopNode); err != nil {
			return err
		}
	}
	_, err := d.restartNode(ctx, 0, d.killNode)
	return err
}

// pickLeavers has some patients stay away once their connections end.
func pickLeavers(there []*member) map[string]*member {
	gone := map[string]*member{}
	for _, m := range there[max(0, len(there)-leavers):] {
		m.held.Store(true)
		gone[m.key] = m
	}
	return gone
}

// strike says that those who have gone are not wanted back.
func (d *deploy) strike(ctx context.Context, gone map[string]*member) {
	for _, m := range gone {
		for _, topic := range m.wants() {
			d.left[place(topic, m.key)] = topic
			m.leave(ctx, topic)
		}
	}
}

// restartNode ends a node and starts it again. Of its patients half come back at
// once, the others when the node is back and its observers are on it again: it
// has to know of them. It returns when the last of them had been lost.
func (d *deploy) restartNode(ctx context.Context, node int, end func(context.Context, int) error) (lost time.Time, err error) {
	n, began := d.cluster.nodes[node], time.Now()
	letGo := hold(d.patients.crowd.at(node))
	tooLate := time.AfterFunc(gracePeriod-2*graceMargin, letGo)
	defer tooLate.Stop()
	defer letGo()
	if err := end(ctx, node); err != nil {
		return lost, err
	}
	if lost, err = d.patients.crowd.awaitLeft(ctx, node, joinLimit); err != nil {
		return lost, err
	}
	ended := time.Now()
	if err := n.start(ctx); err != nil {
		return lost, err
	}
	if err := d.patients.audience.home(ctx, node); err != nil {
		return lost, err
	}
	d.note("%s was away after %v and back with its observers after %v", n.Name,
		ended.Sub(began).Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	letGo()
	return lost, d.awaitBack(ctx)
}

// awaitBack waits for those patients who come back, and until all are told: what a
// node had not told yet when it is killed is lost.
func (d *deploy) awaitBack(ctx context.Context) error {
	for _, m := range d.patients.crowd.members {
		for !m.held.Load() && !m.back() {
			if !harness.Pause(ctx, pollEvery) {
				return ctx.Err()
			}
			if time.Since(d.began) > 5*joinLimit {
				return fmt.Errorf("%s has not come back", m.key)
			}
		}
	}
	_, known, err := d.patients.audience.know(ctx, d.patients.crowd.roll.intention, time.Now().Add(changeLimit+patience))
	if err == nil && !known {
		d.judge.add(d.phase, kindMissing, "not all who came back were shown to all within %v", changeLimit+patience)
	}
	return err
}

func (d *deploy) stopNode(_ context.Context, node int) error {
	if err := d.cluster.nodes[node].stop(); err != nil {
		d.judge.add(d.phase, kindComplaint, "%v", err)
	}
	return nil
}

// killNode kills a node, and returns when the others have noticed.
func (d *deploy) killNode(ctx context.Context, node int) error {
	d.cluster.nodes[node].kill()
	killed := time.Now()
	for i, n := range d.cluster.nodes {
		for i != node {
			series, err := harness.Metrics(ctx, n.Address())
			if err != nil {
				return err
			}
			if series[`trunkline_presence_replicas{status="down"}`] > 0 {
				break
			}
			if time.Since(killed) > noticeLimit || !harness.Pause(ctx, pollEvery) {
				return fmt.Errorf("%s has not noticed within %v that %s was killed", n.Name, noticeLimit, d.cluster.nodes[node].Name)
			}
		}
	}
	return nil
}

// departure judges when those who did not come back were gone.
func (d *deploy) departure(at time.Time, done bool, due time.Time) {
	if !done {
		at = time.Now()
	}
	if early := due.Sub(at); early > graceMargin {
		d.judge.add(d.phase, kindFlicker, "who did not come back was gone %v before the grace period was over", early.Round(time.Millisecond))
	}
	d.timed("the departure of who did not come back, after the grace period,", due, at, stopLimit)
}

// afterwards judges what was seen, and puts everything in its place again.
func (d *deploy) afterwards(ctx context.Context) error {
	joined, err := d.patients.crowd.awaitJoined(ctx, joinLimit)
	if err != nil {
		return err
	}
	if now := time.Now(); joined.Before(now) { // who did not come back has left since
		joined = now
	}
	if err := d.settle(ctx, d.patients, "knowing of the last patient's return", joined, changeLimit); err != nil {
		return err
	}
	if err := d.verifyPatients(ctx); err != nil {
		return err
	}
	for node := range d.cluster.nodes {
		if err := d.audience.home(ctx, node); err != nil {
			return err
		}
	}
	if err := d.crowd.balance(ctx, joinLimit); err != nil {
		return err
	}
	return d.back(ctx)
}

// verifyPatients judges what was seen of the patients.
func (d *deploy) verifyPatients(ctx context.Context) error {
	reports, err := d.verifyScene(ctx, d.patients)
	if err != nil {
		return err
	}
	late := d.patients.crowd.takeLate()
	if len(late) > 0 {
		d.note("not judged, since they were away for more than %v: %s", d.patients.crowd.tooLong, some(slices.Collect(maps.Keys(late))))
	}
	if most := len(d.patients.crowd.members) / 10; len(late) > most {
		return fmt.Errorf("%d came back too late, at most %d may: the machine is too slow", len(late), most)
	}
	leaves := 0
	for _, r := range reports {
		d.judge.keys(d.phase, r, d.left, late)
		for _, times := range r.Went {
			leaves += times
		}
	}
	d.note("%d patients, %d observers: saw %d leaves, those of %d who did not come back", len(d.patients.crowd.members), len(reports), leaves, leavers)
	for _, c := range d.patients.crowd.takeComplaints() {
		d.judge.add(d.phase, kindComplaint, "%s", c)
	}
	return nil
}
