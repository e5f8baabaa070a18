package presence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is a change after Run has ended.
var ErrClosed = errors.New("the presence tracker has ended")

// Tracker knows who is present on all nodes, and tells this node's subscribers
// what changes (Phoenix.Tracker, Phoenix.Presence). Make it with New, give it
// the bus's messages, and Run it, once. Its methods may be called from any
// goroutine, and none waits for another node.
//
// Topics are distributed over shards, each with its own part of the set, lock
// and goroutine. What is thought of the other nodes is the same for all shards:
// any message is a sign of life.
//
// Locks: the tracker's before an inbox's; a shard's before its outbox's. No
// callback is called with one held, but for Config.Options, Config.OnLocal and
// Bus.Publish.
type Tracker struct {
	config  Config
	replica Replica
	shards  []*shard
	refs    refMaker
	owners  atomic.Uint64
	metrics *metrics
	notes   notes

	mu       sync.Mutex
	replicas *Replicas
	nodes    map[Replica]string // ids on the bus
	deaf     bool               // Ready said no
}

// New checks the configuration and registers the metrics.
func New(config Config) (*Tracker, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	t := &Tracker{
		config:   config,
		replica:  Replica{config.Name, uint64(time.Now().UnixNano())},
		refs:     refMaker{node: config.Bus.Node()},
		metrics:  newMetrics(),
		replicas: NewReplicas(config.DownPeriod, config.PermdownPeriod),
		nodes:    make(map[Replica]string),
	}
	for i := range config.Shards {
		t.shards = append(t.shards, newShard(t, i))
	}
	t.metrics.observe(t)
	return t, t.metrics.register(config.Registerer)
}

// Run replicates and delivers until ctx ends. Then it tells the other nodes
// that this one takes leave, so that its presences are gone there at once, and
// returns nil when its goroutines have ended. The bus must still send what was
// published.
func (t *Tracker) Run(ctx context.Context) error {
	hearing := t.detectDown(t.config.Ready() == nil, time.Now())
	var running sync.WaitGroup
	for _, s := range t.shards {
		running.Go(func() { s.run(ctx, hearing) })
		running.Go(func() { s.outbox.run(ctx) })
	}
	running.Go(func() { t.watch(ctx) })
	<-ctx.Done()
	for _, s := range t.shards {
		s.close()
	}
	running.Wait()
	t.publish(&message{kind: msgPermdown})
	return nil
}

// NewOwner returns the owner for something that is tracked: a channel, a job, a
// page. Metas of one key and node are listed in the order of their owners.
func (t *Tracker) NewOwner() Owner { return Owner(t.owners.Add(1)) }

// Track shows the owner in the topic under the key, with a meta, which is a
// JSON object. It returns the phx_ref that the meta is given. It fails with
// ErrAlreadyTracked if the owner is there, with ErrInvalid if topic, key or
// meta are beyond their limits (MaxTopic, MaxKey, MaxMeta), and with ErrClosed.
func (t *Tracker) Track(owner Owner, topic, key string, meta json.RawMessage) (ref string, err error) {
	if err := errors.Join(checkName("topic", topic, MaxTopic), checkName("key", key, MaxKey)); err != nil {
		return "", err
	}
	ref = t.refs.next(owner)
	if meta, err = withRefs(meta, ref, ""); err != nil {
		return "", err
	}
	return ref, t.shard(topic).track(owner, topic, key, meta)
}

// Update replaces the meta of the owner in the topic under the key, and returns
// the new phx_ref; the old one becomes phx_ref_prev. It fails with
// ErrNoPresence if the owner is not there, and as Track.
func (t *Tracker) Update(owner Owner, topic, key string, meta json.RawMessage) (ref string, err error) {
	return t.UpdateFunc(owner, topic, key, func(json.RawMessage) (json.RawMessage, error) { return meta, nil })
}

// UpdateFunc is Update with what change makes of the old meta, which it may
// keep. It is called again if the meta was updated meanwhile. Its error is
// returned as it is.
func (t *Tracker) UpdateFunc(owner Owner, topic, key string, change func(json.RawMessage) (json.RawMessage, error)) (ref string, err error) {
	s := t.shard(topic)
	for {
		was, ok := s.get(owner, topic, key)
		if !ok {
			return "", fmt.Errorf("owner %d, key %q in topic %q: %w", owner, key, topic, ErrNoPresence)
		}
		meta, err := change(slices.Clone(was.Meta))
		if err != nil {
			return "", err
		}
		ref = t.refs.next(owner)
		if meta, err = withRefs(meta, ref, refOf(was.Meta)); err != nil {
			return "", err
		}
		if done, err := s.update(was, meta); done || err != nil {
			return ref, err
		}
	}
}

// Untrack takes the owner out of the topic under the key. It is false if the
// owner was not there.
func (t *Tracker) Untrack(owner Owner, topic, key string) bool {
	return t.shard(topic).untrack(owner, topic, key)
}

// UntrackOwner takes the owner out wherever it is, in one diff for each topic.
func (t *Tracker) UntrackOwner(owner Owner) {
	for _, s := range t.shards {
		s.untrackOwner(owner)
	}
}

// List returns who is in the topic, on all nodes. It waits for nothing but the
// topic's Options.Fetch.
func (t *Tracker) List(ctx context.Context, topic string) Presences {
	list := collect(t.shard(topic).list(topic))
	t.fetch(ctx, topic, list, list)
	return list
}

// ListJSON returns the JSON of List: the payload of presence_state. Nothing is
// kept of it between calls, so it is as new as List is. Without Options.Fetch it
// costs little more than the copying of its bytes.
func (t *Tracker) ListJSON(ctx context.Context, topic string) []byte {
	if t.config.Options(topic).Fetch != nil {
		return t.List(ctx, topic).AppendJSON(nil)
	}
	return entriesJSON(t.shard(topic).list(topic))
}

// GetByKey returns one key of the topic's list; false if it is not there.
func (t *Tracker) GetByKey(ctx context.Context, topic, key string) (Listed, bool) {
	list := collect(t.shard(topic).list(topic, key))
	t.fetch(ctx, topic, list, list)
	listed, ok := list[key]
	return listed, ok
}

// shard returns where the topic belongs.
func (t *Tracker) shard(topic string) *shard {
	h := fnv.New32a()
	_, _ = h.Write([]byte(topic))
	return t.shards[h.Sum32()%uint32(len(t.shards))]
}

// publish sends a message to all nodes, or to one if it is named.
func (t *Tracker) publish(m *message, node ...string) {
	m.sender, m.shards = t.replica, uint64(len(t.shards))
	body := m.encode()
	var err error
	if len(node) == 0 {
		err = t.config.Bus.Publish(KindPresence, "", body)
	} else {
		err = t.config.Bus.PublishTo(node[0], KindPresence, "", body)
	}
	t.metrics.sent.Add(float64(len(body)))
	if err != nil {
		// What is missing shows in the clocks.
		t.metrics.sendFailures.Inc()
		t.note(&t.notes.send, "presence message not sent", "error", err)
	}
}
