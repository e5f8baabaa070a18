package history

import (
	"context"
	"fmt"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

// A store runs the statements of the history on one connection, pool or
// transaction. Errors are those of pgx, wrapped. It holds nothing but its
// arguments, so goroutines may share it where they may share its db.
type store struct {
	schema  *dbsqlc.Schema
	db      dbsqlc.DBTX // within the schema
	queries *dbsqlc.Queries
	count   func(kind string)
}

// newStore returns a store on db. count is called once for each statement sent,
// with a word for its kind; it may be nil.
func newStore(schema *dbsqlc.Schema, db dbsqlc.DBTX, count func(kind string)) *store {
	if count == nil {
		count = func(string) {}
	}
	return &store{schema: schema, db: schema.In(db), queries: dbsqlc.New(), count: count}
}

// topicState is a topic's row.
type topicState struct {
	id    int64
	name  string
	head  int64
	epoch string // of the topic alone: see epochString
}

// ensureTopics returns the states of the topics by name, in one statement, and
// creates those that are missing.
func (s *store) ensureTopics(ctx context.Context, names []string) (map[string]topicState, error) {
	s.count("topics")
	found, err := s.queries.EnsureTopics(ctx, s.db, names)
	if err != nil {
		return nil, fmt.Errorf("creating topics: %w", err)
	}
	states := make(map[string]topicState, len(found))
	for _, t := range found {
		states[t.Name] = topicState{id: t.ID, name: t.Name, head: t.Head, epoch: t.Epoch}
	}
	return states, nil
}

// findTopics returns the states of those topics that exist, by name.
func (s *store) findTopics(ctx context.Context, names []string) (map[string]topicState, error) {
	s.count("topics")
	found, err := s.queries.FindTopics(ctx, s.db, names)
	if err != nil {
		return nil, fmt.Errorf("reading topics: %w", err)
	}
	states := make(map[string]topicState, len(found))
	for _, t := range found {
		states[t.Name] = topicState{id: t.ID, name: t.Name, head: t.Head, epoch: t.Epoch}
	}
	return states, nil
}

// heads returns the newest id of each topic, by topic id. Topics that do not
// exist (any more: after a restore from a backup) are missing.
func (s *store) heads(ctx context.Context, topicIDs []int64) (map[int64]int64, error) {
	s.count("heads")
	found, err := s.queries.GetHeads(ctx, s.db, topicIDs)
	if err != nil {
		return nil, fmt.Errorf("reading heads: %w", err)
	}
	heads := make(map[int64]int64, len(found))
	for _, t := range found {
		heads[t.ID] = t.Head
	}
	return heads, nil
}

// generation returns a number that rises whenever this database is found to be
// another one than before: restored from a backup, copied to another server, or
// promoted. To be asked on each new connection, before anything is appended on
// it: topic ids, heads and ids known from an earlier generation are void.
func (s *store) generation(ctx context.Context) (int64, error) {
	s.count("generation")
	generation, err := s.queries.CurrentGeneration(ctx, s.db)
	if err != nil {
		return 0, fmt.Errorf("reading which database this is: %w", err)
	}
	return generation, nil
}

// register tells the SQL functions the patterns, in place of those of before.
func (s *store) register(ctx context.Context, ps patterns) error {
	params := dbsqlc.RegisterPatternsParams{Patterns: []string{}}
	for _, p := range ps {
		params.Patterns = append(params.Patterns, p.Pattern)
		params.IDKeys = append(params.IDKeys, p.IDKey)
		params.MaxAges = append(params.MaxAges, p.MaxAge.Seconds())
		params.MaxCounts = append(params.MaxCounts, p.MaxCount)
	}
	s.count("register")
	if err := s.queries.RegisterPatterns(ctx, s.db, params); err != nil {
		return fmt.Errorf("registering the patterns: %w", err)
	}
	return nil
}

// publish puts a message into the outbox, for a db that is the caller's
// transaction. It is checked by the SQL function.
func (s *store) publish(ctx context.Context, topic, event string, payload []byte, key string) error {
	s.count("publish")
	err := s.queries.Publish(ctx, s.db, dbsqlc.PublishParams{Topic: topic, Event: event, Payload: string(payload), Key: key})
	if err != nil {
		return fmt.Errorf("publishing in the transaction: %w", err)
	}
	return nil
}
