package trunkline

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline/internal/presence"
	"github.com/trunkline/trunkline/internal/presence/sqlview"
	"github.com/trunkline/trunkline/internal/realtime"
)

// Errors of Track and Update.
var (
	// ErrAlreadyTracked: the channel is in the topic under this key already.
	ErrAlreadyTracked = presence.ErrAlreadyTracked
	// ErrNoPresence: it is not.
	ErrNoPresence = presence.ErrNoPresence
)

// Presences is who is in a topic, by key: the payload of presence_state.
type Presences map[string]PresenceEntry

// PresenceEntry is one key of a topic: a user, say.
type PresenceEntry struct {
	// Metas has one JSON object for each time that the key is tracked, such as
	// for each tab of a user, with its phx_ref.
	Metas []json.RawMessage
	// Fetched are the fields that PresenceOptions.Fetch added.
	Fetched map[string]json.RawMessage
}

// MarshalJSON gives {"metas": [...]} and the fetched fields.
func (e PresenceEntry) MarshalJSON() ([]byte, error) { return presence.Listed(e).MarshalJSON() }

// PresenceDiff is who came and who left: the payload of presence_diff. An
// update is a join of the new meta and a leave of the old one.
type PresenceDiff struct {
	Joins  Presences `json:"joins"`
	Leaves Presences `json:"leaves"`
}

// Apply brings a list from before the diff to after it, as syncDiff of
// phoenix.js does; for code that keeps a list from the messages presence_diff
// of Server.Subscribe.
func (p Presences) Apply(diff PresenceDiff) {
	list := p.internal()
	list.Apply(&presence.PresenceDiff{Joins: diff.Joins.internal(), Leaves: diff.Leaves.internal()})
	clear(p)
	for key, entry := range list {
		p[key] = PresenceEntry(entry)
	}
}

// UnmarshalJSON reads what MarshalJSON gives.
func (e *PresenceEntry) UnmarshalJSON(data []byte) error {
	return (*presence.Listed)(e).UnmarshalJSON(data)
}

func (p Presences) internal() presence.Presences {
	list := make(presence.Presences, len(p))
	for key, entry := range p {
		list[key] = presence.Listed(entry)
	}
	return list
}

func presences(list presence.Presences) Presences {
	p := make(Presences, len(list))
	for key, entry := range list {
		p[key] = PresenceEntry(entry)
	}
	return p
}

// PresenceOptions of topics. All are optional; without any, presence works on
// every topic.
type PresenceOptions struct {
	// Grace is how long a user whose last meta has gone is still shown. One who
	// comes back within it, on any node, is not reported as having left, nor to
	// those who watch on a node that has started meanwhile. A killed node's users
	// are noticed first, after Config.PresenceDownPeriod. Default: none; for
	// deploys, longer than clients take to join again, such as 20 s.
	Grace time.Duration
	// Fetch returns fields to show beside "metas", by key, such as names. It is
	// called once for each diff, with all its keys, and for each list, so that
	// one query does; within 5 s, else the metas are shown alone.
	Fetch func(ctx context.Context, topic string, list Presences) (map[string]map[string]json.RawMessage, error)
	// HandleMetas is told of each diff after its delivery on this node, with
	// the list after it. It may not change them.
	HandleMetas func(topic string, diff PresenceDiff, list Presences)
	// Left makes a River job of each departure: of a key whose last meta, on all
	// nodes, has gone and did not come back within Grace. The job is queued
	// exactly once, also when the node was killed (12 to 15 s after that) or
	// Postgres crashed, and at least 1 s after the departure. Presences shorter
	// than it takes to write them, about 0.1 s, may have none if their node dies.
	// Nil, or a nil result, is none.
	Left func(PresenceLeft) river.JobArgs
	// LeftWebhook posts each departure to this endpoint of JobsOptions.Webhooks,
	// as an event of type presence.left with a PresenceLeft. Queued as those of
	// Left are; both may be set.
	LeftWebhook string
}

// PresenceLeft is the departure of a key from a topic.
type PresenceLeft struct {
	Topic    string    `json:"topic"`
	Key      string    `json:"key"`
	OnlineAt time.Time `json:"online_at"` // when its last stay on a node began
	LeftAt   time.Time `json:"left_at"`
}

// presencePattern is a pattern of Server.Presence.
type presencePattern struct {
	pattern realtime.Pattern
	text    string
	options presence.Options
	left    func(PresenceLeft) river.JobArgs
	webhook string // told of departures
}

// departs tells whether departures are acted on.
func (p *presencePattern) departs() bool { return p.left != nil || p.webhook != "" }

// Presence sets the options of the topics that match pattern; the first
// declared match counts. Call it before Run. A bad pattern is a panic.
func (s *Server) Presence(pattern string, o PresenceOptions) {
	p, err := realtime.ParsePattern(pattern)
	if err != nil {
		panic(fmt.Sprintf("trunkline: %v", err))
	}
	options := presence.Options{Grace: o.Grace}
	if o.Fetch != nil {
		options.Fetch = func(ctx context.Context, topic string, list presence.Presences) (map[string]map[string]json.RawMessage, error) {
			return o.Fetch(ctx, topic, presences(list))
		}
	}
	if o.HandleMetas != nil {
		options.HandleMetas = func(topic string, diff *presence.PresenceDiff, list presence.Presences) {
			o.HandleMetas(topic, PresenceDiff{Joins: presences(diff.Joins), Leaves: presences(diff.Leaves)}, presences(list))
		}
	}
	s.presences = append(s.presences, presencePattern{pattern: p, text: pattern, options: options, left: o.Left, webhook: o.LeftWebhook})
}

func (s *Server) presencePattern(topic string) *presencePattern {
	for i := range s.presences {
		if s.presences[i].pattern.Match(topic) {
			return &s.presences[i]
		}
	}
	return nil
}

func (s *Server) presenceOptions(topic string) presence.Options {
	if p := s.presencePattern(topic); p != nil {
		return p.options
	}
	return presence.Options{}
}

// newPresenceView makes what feeds the SQL view.
func (s *Server) newPresenceView() (err error) {
	if s.cfg.SkipPresenceView {
		return nil
	}
	s.view, err = sqlview.New(sqlview.Config{
		DB:         s.pool,
		Schema:     s.cfg.Schema,
		Node:       s.bus.ID(),
		Logger:     s.cfg.Logger,
		Registerer: s.registerer,
	})
	return err
}

// presenceChanged hands on what has changed on this node.
func (s *Server) presenceChanged(joins, leaves []*presence.Entry) {
	if s.view != nil {
		s.view.Change(joins, leaves)
	}
	if d := s.departures.Load(); d != nil {
		d.Change(joins, leaves)
	}
}

// deliverDiff tells this node's subscribers; every node tells its own. The
// tracker sends no more diffs than are written.
func (s *Server) deliverDiff(topic string, diff *presence.PresenceDiff) {
	err := s.engine.LocalWrite(topic, "presence_diff", realtime.Payload{Data: diff.AppendJSON(nil)})
	if err != nil {
		s.cfg.Logger.Warn("presence_diff not sent to everybody", "topic", topic, "error", err)
	}
}

// Presences is who is in a topic now, on all nodes. ctx bounds
// PresenceOptions.Fetch.
func (s *Server) Presences(ctx context.Context, topic string) Presences {
	return presences(s.tracker.List(ctx, topic))
}

// PresenceState is the JSON of Presences, the payload of presence_state, for
// Push, Broadcast and replies. In a large topic it costs a small part of
// encoding Presences, unless the topic has PresenceOptions.Fetch.
func (s *Server) PresenceState(ctx context.Context, topic string) Payload {
	return Payload{realtime.Payload{Data: s.tracker.ListJSON(ctx, topic)}}
}

// PresenceByKey is one key of Presences; false when it is not there.
func (s *Server) PresenceByKey(ctx context.Context, topic, key string) (PresenceEntry, bool) {
	entry, ok := s.tracker.GetByKey(ctx, topic, key)
	return PresenceEntry(entry), ok
}

// Tracked is something that is tracked and is no channel: a worker, a game, a
// server-rendered page. Close it when it ends.
type Tracked struct {
	srv   *Server
	owner presence.Owner
}

// NewTracked returns a Tracked that is nowhere yet.
func (s *Server) NewTracked() *Tracked {
	return &Tracked{srv: s, owner: s.tracker.NewOwner()}
}

// Track shows it in a topic under a key with a meta, which must be a JSON
// object. It returns the meta's phx_ref.
func (t *Tracked) Track(topic, key string, meta any) (ref string, err error) {
	data, err := encodeMeta(meta)
	if err != nil {
		return "", err
	}
	return t.srv.tracker.Track(t.owner, topic, key, data)
}

// Update replaces its meta in a topic under a key. It returns the new phx_ref.
func (t *Tracked) Update(topic, key string, meta any) (ref string, err error) {
	data, err := encodeMeta(meta)
	if err != nil {
		return "", err
	}
	return t.srv.tracker.Update(t.owner, topic, key, data)
}

// UpdateFunc replaces its meta by what change makes of the old one, which it
// may change. change is called again when somebody else was quicker.
func (t *Tracked) UpdateFunc(topic, key string, change func(meta map[string]any) map[string]any) (ref string, err error) {
	return t.srv.tracker.UpdateFunc(t.owner, topic, key, func(old json.RawMessage) (json.RawMessage, error) {
		var meta map[string]any
		if err := json.Unmarshal(old, &meta); err != nil {
			return nil, fmt.Errorf("meta: %w", err)
		}
		return encodeMeta(change(meta))
	})
}

// Untrack takes it out of a topic under a key; silent when it is not there.
func (t *Tracked) Untrack(topic, key string) { t.srv.tracker.Untrack(t.owner, topic, key) }

// Close takes it out of everything.
func (t *Tracked) Close() { t.srv.tracker.UntrackOwner(t.owner) }

func encodeMeta(meta any) (json.RawMessage, error) {
	p, err := encode(meta)
	if err != nil {
		return nil, err
	}
	if p.Binary {
		return nil, fmt.Errorf("%w: a meta is a JSON object", presence.ErrInvalid)
	}
	return p.Data, nil
}
