package history

import (
	"context"
	"fmt"
	"time"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

// drainBytes ends a drain once its payloads are as much.
const drainBytes = 4 << 20

// An entry is a message to be numbered and stored. It was checked before.
type entry struct {
	topicID  int64
	event    string // EventUpdated and EventDeleted exactly where refersTo is set
	payload  []byte // without the id; of a deletion {}
	key      string // "" for none; none of edits
	refersTo int64  // the message that an edit changes, else 0
}

// status says what became of an entry.
type status int16

// As the SQL function append has them.
const (
	statusStored    status = 0
	statusDuplicate status = 1 // its key was used before; the id is the first one's
	statusNotFound  status = 2 // the message to be edited is missing, deleted or an edit
	statusBusy      status = 3 // somebody else holds the topic's counter: try again
	statusNoTopic   status = 4 // there is no topic of that id
)

// A verdict is append's answer to one entry. Only statusStored and
// statusDuplicate have an id.
type verdict struct {
	status status
	id     int64
}

// append numbers and stores a batch in one statement, which commits by itself
// unless db is a transaction. Within a topic, entries are numbered in the order
// given. The verdicts are as many as the entries, in their order; insertedAt
// belongs to all that were stored.
//
// Without wait, entries of topics whose counter is held by somebody else are
// answered statusBusy at once; with it, the statement waits. Either way it
// cannot deadlock with another append or a drain.
func (s *store) append(ctx context.Context, batch []entry, wait bool) (verdicts []verdict, insertedAt time.Time, err error) {
	if len(batch) == 0 {
		return nil, time.Time{}, nil
	}
	s.count("append")
	if one := batch[0]; len(batch) == 1 && one.key == "" && one.refersTo == 0 {
		if v, at, err := s.appendOne(ctx, one); err != nil || v.id != 0 {
			return []verdict{v}, at, err
		}
	}
	if columns, plain := plainColumns(batch, wait); plain {
		return s.appendPlain(ctx, batch, columns)
	}
	result, err := s.queries.AppendBatch(ctx, s.db, columns(batch, wait))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("storing %d messages: %w", len(batch), err)
	}
	if len(result.Ids) != len(batch) || len(result.Statuses) != len(batch) {
		return nil, time.Time{}, fmt.Errorf("storing %d messages: %d ids, %d statuses", len(batch), len(result.Ids), len(result.Statuses))
	}
	verdicts = make([]verdict, len(batch))
	for i := range verdicts {
		verdicts[i] = verdict{status: status(result.Statuses[i]), id: result.Ids[i]}
	}
	return verdicts, result.InsertedAt.Time, nil
}

// appendOne is append for one message without a key. The verdict has no id when
// the topic is held by somebody else, or missing.
func (s *store) appendOne(ctx context.Context, e entry) (v verdict, insertedAt time.Time, err error) {
	rows, err := s.queries.AppendOne(ctx, s.db, dbsqlc.AppendOneParams{TopicID: e.topicID, Event: e.event, Payload: string(e.payload)})
	if err != nil {
		return v, insertedAt, fmt.Errorf("storing a message: %w", err)
	}
	for _, row := range rows {
		v.id, insertedAt = row.ID, row.InsertedAt.Time
	}
	return v, insertedAt, nil
}

// plainColumns returns a batch without keys and references, whose entries are
// ordered by topic, as append_plain wants it; false if it is another one.
func plainColumns(batch []entry, wait bool) (params dbsqlc.AppendPlainParams, plain bool) {
	topics, before := 0, int64(0)
	for i, e := range batch {
		switch {
		case e.key != "" || e.refersTo != 0 || i > 0 && e.topicID < before:
			return params, false
		case i == 0 || e.topicID > before:
			topics++
		}
		before = e.topicID
	}
	params = dbsqlc.AppendPlainParams{
		TopicIds: make([]int64, 0, topics),
		Counts:   make([]int64, 0, topics),
		Places:   make([]int32, len(batch)),
		Nths:     make([]int32, len(batch)),
		Events:   make([]string, len(batch)),
		Payloads: make([]string, len(batch)),
		Wait:     wait,
	}
	for i, e := range batch {
		if i == 0 || e.topicID > before {
			params.TopicIds, params.Counts = append(params.TopicIds, e.topicID), append(params.Counts, 0)
		}
		before = e.topicID
		last := len(params.Counts) - 1
		params.Counts[last]++
		params.Places[i], params.Nths[i] = int32(last+1), int32(params.Counts[last])
		params.Events[i], params.Payloads[i] = e.event, string(e.payload)
	}
	return params, true
}

// appendPlain is append for what plainColumns has made.
func (s *store) appendPlain(ctx context.Context, batch []entry, columns dbsqlc.AppendPlainParams) (verdicts []verdict, insertedAt time.Time, err error) {
	result, err := s.queries.AppendPlain(ctx, s.db, columns)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("storing %d messages: %w", len(batch), err)
	}
	if len(result.Bases) != len(columns.TopicIds) {
		return nil, time.Time{}, fmt.Errorf("storing %d messages of %d topics: %d bases", len(batch), len(columns.TopicIds), len(result.Bases))
	}
	verdicts = make([]verdict, len(batch))
	for i := range verdicts {
		if base := result.Bases[columns.Places[i]-1]; base < 0 {
			verdicts[i].status = status(-base)
		} else {
			verdicts[i].id = base + int64(columns.Nths[i])
		}
	}
	return verdicts, result.InsertedAt.Time, nil
}

// columns returns the batch as arrays. Keys and references are left out where
// there are none, which spares the looking up.
func columns(batch []entry, wait bool) dbsqlc.AppendBatchParams {
	params := dbsqlc.AppendBatchParams{
		TopicIds: make([]int64, len(batch)),
		Events:   make([]string, len(batch)),
		Payloads: make([]string, len(batch)),
		Wait:     wait,
	}
	for i, e := range batch {
		params.TopicIds[i], params.Events[i], params.Payloads[i] = e.topicID, e.event, string(e.payload)
		if e.key != "" && params.Keys == nil {
			params.Keys = make([]string, len(batch))
		}
		if e.key != "" {
			params.Keys[i] = e.key
		}
		if e.refersTo != 0 && params.Refers == nil {
			params.Refers = make([]int64, len(batch))
		}
		if e.refersTo != 0 {
			params.Refers[i] = e.refersTo
		}
	}
	return params
}

// A drained row left the outbox. Only with statusStored there is something to
// tell the subscribers.
type drained struct {
	outboxID  int64
	topic     string
	topicID   int64 // 0 of ephemeral ones
	ephemeral bool  // was never stored: to be sent over the bus as it is
	status    status
	row       // of ephemeral ones: event and payload only
}

// drain numbers and stores up to limit of the oldest rows of the outbox (and at
// most some 4 MiB of them), in one transaction, and returns them in the
// outbox's order. Rows up to the id after are not looked at. No rows mean that
// it is empty.
func (s *store) drain(ctx context.Context, after int64, limit int) ([]drained, error) {
	s.count("drain")
	moved, err := s.queries.Drain(ctx, s.db, dbsqlc.DrainParams{After: after, MaxRows: int32(limit), MaxBytes: drainBytes})
	if err != nil {
		return nil, fmt.Errorf("draining the outbox: %w", err)
	}
	out := make([]drained, len(moved))
	for i, m := range moved {
		out[i] = drained{
			outboxID: m.OutboxID, topic: m.Topic, topicID: m.TopicID, ephemeral: m.Ephemeral, status: status(m.Status),
			row: row{id: m.ID, event: m.Event, payload: []byte(m.Payload), refersTo: m.RefersTo, insertedAt: m.InsertedAt.Time},
		}
	}
	return out, nil
}
