package trunkline

import "context"

// Track shows this channel in its topic under a key, usually the user's id,
// with a meta, which must be a JSON object. All subscribers are told by the
// event presence_diff. It ends with the channel. It returns the meta's phx_ref,
// or ErrAlreadyTracked.
func (s *Socket) Track(key string, meta any) (ref string, err error) {
	if !s.channel.Joined() {
		return "", ErrNotJoined
	}
	ref, err = s.tracked().Track(s.Topic(), key, meta)
	if err == nil && !s.channel.Joined() {
		s.tracked().Close() // the channel ended meanwhile
		return "", ErrNotJoined
	}
	return ref, err
}

// Update replaces the meta under a key, or is ErrNoPresence. It returns the new
// phx_ref; the old one is phx_ref_prev of the meta.
func (s *Socket) Update(key string, meta any) (ref string, err error) {
	return s.tracked().Update(s.Topic(), key, meta)
}

// UpdateFunc is Update with what change makes of the old meta.
func (s *Socket) UpdateFunc(key string, change func(meta map[string]any) map[string]any) (ref string, err error) {
	return s.tracked().UpdateFunc(s.Topic(), key, change)
}

// Untrack ends Track under a key; silent when there is none.
func (s *Socket) Untrack(key string) { s.tracked().Untrack(s.Topic(), key) }

// Presences is who is in the topic.
func (s *Socket) Presences(ctx context.Context) Presences {
	return s.handler.srv.Presences(ctx, s.Topic())
}

// PresenceState is who is in the topic, as JSON: push it as presence_state after
// the join, from HandleInfo.
func (s *Socket) PresenceState(ctx context.Context) Payload {
	return s.handler.srv.PresenceState(ctx, s.Topic())
}

func (s *Socket) tracked() *Tracked {
	s.handler.trackOnce.Do(func() { s.handler.tracked.Store(s.handler.srv.NewTracked()) })
	return s.handler.tracked.Load()
}
