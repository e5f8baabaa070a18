package presence

import (
	"context"
	"maps"
	"runtime/debug"
)

// deliver is what an outbox does with a diff.
func (t *Tracker) deliver(ctx context.Context, o *outlet, d Diff) {
	diff := &PresenceDiff{Joins: collect(d.Joins), Leaves: collect(d.Leaves)}
	keys := maps.Clone(diff.Leaves)
	maps.Copy(keys, diff.Joins)
	t.fetch(ctx, o.topic, keys, diff.Joins, diff.Leaves)
	t.config.Deliver(o.topic, diff)
	t.metrics.diffs.Inc()
	t.metrics.changes.Add(float64(len(d.Joins) + len(d.Leaves)))

	handle := t.config.Options(o.topic).HandleMetas
	if handle == nil {
		return
	}
	if o.shown == nil {
		o.shown = make(Presences)
	}
	o.shown.Apply(diff)
	t.guard("HandleMetas", o.topic, func() { handle(o.topic, diff, o.shown) })
}

// fetch asks the topic's Fetch what to show of the keys, and puts it into the
// lists.
func (t *Tracker) fetch(ctx context.Context, topic string, keys Presences, lists ...Presences) {
	fetch := t.config.Options(topic).Fetch
	if fetch == nil || len(keys) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, t.config.FetchTimeout)
	defer cancel()
	t.guard("Fetch", topic, func() {
		fetched, err := fetch(ctx, topic, keys)
		if err == nil {
			err = fetchedFields(fetched)
		}
		if err != nil {
			t.metrics.callbackFailures.Inc()
			t.note(&t.notes.fetch, "presence: Fetch failed", "topic", topic, "error", err)
			return
		}
		for _, list := range lists {
			for key, listed := range list {
				listed.Fetched = fetched[key]
				list[key] = listed
			}
		}
	})
}

// guard calls a function of the application, whose panic is no reason to end
// the node.
func (t *Tracker) guard(what, topic string, call func()) {
	defer func() {
		if p := recover(); p != nil {
			t.metrics.callbackFailures.Inc()
			t.config.Logger.Error("presence: "+what+" panicked", "topic", topic, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	call()
}
