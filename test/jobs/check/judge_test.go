package main

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// kinds of what was found, in order.
func (j *judge) kinds() (kinds []string) {
	for _, v := range j.found {
		kinds = append(kinds, v.kind)
	}
	return kinds
}

func wantKinds(t *testing.T, j *judge, want ...string) {
	t.Helper()
	if !slices.Equal(j.kinds(), want) {
		t.Errorf("found %v, want %v", j.found, want)
	}
}

func answered(key string, answers ...string) *push {
	p := newPush("echo", key)
	for _, response := range answers {
		p.take(answer{time.Now(), eventReply, "ok", json.RawMessage(response)})
	}
	return p
}

// Each way in which answers can be wrong is found, and nothing else is.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const right, wrong = `{"text":"hi","job":1}`, `{"text":"no","job":1}`
	for _, c := range []struct {
		name   string
		pushes []*push
		want   []string
	}{
		{"each once", []*push{answered("a", right), answered("b", right)}, nil},
		{"none", []*push{answered("a", right), answered("b")}, []string{kindMissing}},
		{"two", []*push{answered("a", right, right), answered("b", right)}, []string{kindDouble}},
		{"another's", []*push{answered("a", wrong)}, []string{kindWrong}},
		{"a wrong one after the right one", []*push{answered("a", right, wrong)}, []string{kindDouble, kindWrong}},
	} {
		var j judge
		j.answers("phase", c.pushes, echoed("hi"))
		if !slices.Equal(j.kinds(), c.want) {
			t.Errorf("%s: found %v, want %v", c.name, j.found, c.want)
		}
	}
}

// Repeats answered by different jobs are found.
func TestSame(t *testing.T) {
	t.Parallel()
	var j judge
	j.same("phase", []*push{answered("a", `{"text":"hi","job":1}`), answered("a", `{"job":1, "text":"hi"}`)})
	wantKinds(t, &j)
	j.same("phase", []*push{answered("a", `{"job":1}`), answered("a", `{"job":1}`), answered("a", `{"job":2}`)})
	wantKinds(t, &j, kindWrong)
}

// A push that is acknowledged has its answer yet to come; a second
// acknowledgement would be one too many.
func TestAcknowledged(t *testing.T) {
	t.Parallel()
	var j judge
	ack := answer{event: eventReply, status: "ok", response: json.RawMessage(`{"key":"k"}`)}
	p := newPush("report", "k")
	p.acknowledged = true
	p.take(ack)
	j.answers("phase", []*push{p}, reported)
	wantKinds(t, &j, kindMissing)

	p.take(answer{event: eventJobReply, status: "ok", response: json.RawMessage(`{"steps":5}`)})
	j = judge{}
	j.answers("phase", []*push{p}, reported)
	wantKinds(t, &j)

	p.take(ack)
	j.answers("phase", []*push{p}, reported)
	wantKinds(t, &j, kindDouble, kindWrong)
}

func TestLeaves(t *testing.T) {
	t.Parallel()
	ann, bob, cid := stayer{"lobby:1", "ann"}, stayer{"lobby:1", "bob"}, stayer{"lobby:2", "ann"}
	want := map[stayer]expected{ann: {2, 2}, bob: {0, 0}, cid: {1, 2}}
	for _, c := range []struct {
		name string
		got  map[stayer]int
		want []string
	}{
		{"as many as happened", map[stayer]int{ann: 2, cid: 1}, nil},
		{"within doubt", map[stayer]int{ann: 2, cid: 2}, nil},
		{"one too many", map[stayer]int{ann: 3, cid: 1}, []string{kindLeaves}},
		{"of one who stayed", map[stayer]int{ann: 2, bob: 1, cid: 1}, []string{kindLeaves}},
		{"of one who was never there", map[stayer]int{ann: 2, cid: 1, {"lobby:3", "dan"}: 1}, []string{kindLeaves}},
		{"one too few", map[stayer]int{ann: 1, cid: 1}, []string{kindLeaves}},
		{"none", map[stayer]int{}, []string{kindLeaves, kindLeaves}},
	} {
		var j judge
		j.leaves("phase", "jobs", c.got, want)
		if !slices.Equal(j.kinds(), c.want) {
			t.Errorf("%s: found %v, want %v", c.name, j.found, c.want)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	var j judge
	j.late("phase", "it", time.Second, time.Second)
	j.slow("phase", "it", 3, 3)
	j.enough("phase", "it", 5, 5)
	j.count("phase", "it", 5, 5)
	wantKinds(t, &j)
	j.late("phase", "it", time.Second+1, time.Second)
	j.slow("phase", "it", 3.01, 3)
	j.enough("phase", "it", 4, 5)
	j.count("phase", "it", 6, 5)
	wantKinds(t, &j, kindLate, kindSlow, kindIdle, kindCount)
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	began := time.Now()
	at := func(id string, after time.Duration) delivery {
		return delivery{id: id, at: began.Add(after), ended: began.Add(after)}
	}
	e := delivered{name: "recovers", attempts: 2}
	for _, c := range []struct {
		name string
		got  []delivery
		want []string
	}{
		{"as planned", []delivery{at("m", 0), at("m", webhookRetries[0])}, nil},
		{"one too few", []delivery{at("m", 0)}, []string{kindWebhook}},
		{"too early", []delivery{at("m", 0), at("m", webhookRetries[0]/2)}, []string{kindWebhook}},
		{"too late", []delivery{at("m", 0), at("m", webhookRetries[0]+2*webhookSlack)}, []string{kindWebhook}},
		{"another id", []delivery{at("m", 0), at("n", webhookRetries[0])}, []string{kindWebhook}},
	} {
		var j judge
		j.deliveries("phase", e, c.got)
		if !slices.Equal(j.kinds(), c.want) {
			t.Errorf("%s: found %v, want %v", c.name, j.found, c.want)
		}
	}
}

func TestPercentiles(t *testing.T) {
	t.Parallel()
	var all []time.Duration
	for i := range 100 {
		all = append(all, time.Duration(100-i))
	}
	if p50, p99 := median(all), percentile(all, 99); p50 != 51 || p99 != 100 || percentile(nil, 99) != 0 {
		t.Errorf("p50 %d, p99 %d", p50, p99)
	}
	if m := medianRatio([]float64{3, 1, 2}); m != 2 {
		t.Errorf("median ratio %v", m)
	}
	if m := medianRatio([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Errorf("median ratio %v", m)
	}
}
