package history

import (
	"context"
	"fmt"
	"slices"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

// unreadCap is where counting unread messages ends.
const unreadCap = 1000

// A reading is one topic's part of a grouped query.
type reading struct {
	topicID  int64
	after    int64 // ids greater than this
	limit    int   // messages, at least 1
	maxCount int64 // of the pattern; 0 reads all
}

// rows is the raw form of a [Page], which see, but for the epoch.
type rows struct {
	topicID int64
	rows    []row
	more    bool
	head    int64
	oldest  int64
}

// after reads pages of many topics in one statement, ascending, each of at most
// maxBytes of payloads (but at least one message where there is one). The
// result has one element for each reading, in the same order; of a topic that
// does not exist it has only the topicID. A hole is read by after = first-1 and
// limit = its length, without maxCount.
func (s *store) after(ctx context.Context, readings []reading, maxBytes int) ([]rows, error) {
	params := dbsqlc.ReadAfterParams{MaxBytes: int64(maxBytes)}
	pages := make([]rows, len(readings))
	for i, r := range readings {
		params.TopicIds = append(params.TopicIds, r.topicID)
		params.Afters = append(params.Afters, r.after)
		params.Limits = append(params.Limits, int32(r.limit))
		params.MaxCounts = append(params.MaxCounts, r.maxCount)
		pages[i].topicID = r.topicID
	}
	s.count("after")
	found, err := s.queries.ReadAfter(ctx, s.db, params)
	if err != nil {
		return nil, fmt.Errorf("reading messages of %d topics: %w", len(readings), err)
	}
	for _, m := range found {
		page := &pages[m.Place-1]
		page.head, page.oldest = m.Head, m.Oldest
		if m.ID > 0 {
			page.rows = append(page.rows, row{
				id: m.ID, event: m.Event, payload: []byte(m.Payload), refersTo: m.RefersTo, deleted: m.Deleted, insertedAt: m.InsertedAt.Time,
			})
		}
	}
	for i := range pages {
		if n := len(pages[i].rows); n > 0 {
			pages[i].more = pages[i].rows[n-1].id < pages[i].head
		}
	}
	return pages, nil
}

// before reads the limit newest messages with ids less than before, ascending;
// math.MaxInt64 reads the newest of all. reading.after is not used.
func (s *store) before(ctx context.Context, r reading, before int64, maxBytes int) (rows, error) {
	page := rows{topicID: r.topicID}
	s.count("before")
	found, err := s.queries.ReadBefore(ctx, s.db, dbsqlc.ReadBeforeParams{
		TopicID: r.topicID, Before: before, MaxRows: int32(r.limit), MaxCount: r.maxCount, MaxBytes: int64(maxBytes),
	})
	if err != nil {
		return rows{}, fmt.Errorf("reading messages of a topic: %w", err)
	}
	for _, m := range found {
		page.head, page.oldest = m.Head, m.Oldest
		if m.ID > 0 {
			page.rows = append(page.rows, row{
				id: m.ID, event: m.Event, payload: []byte(m.Payload), refersTo: m.RefersTo, deleted: m.Deleted, insertedAt: m.InsertedAt.Time,
			})
		}
	}
	slices.Reverse(page.rows)
	page.more = len(page.rows) > 0 && page.rows[0].id > page.oldest
	return page, nil
}

// seen notes that the user has read the topic up to id (never less than noted
// before, never more than the head), and returns how many messages are unread,
// at most unreadCap. Edits and deleted messages do not count. Of a topic that
// does not exist there are none.
func (s *store) seen(ctx context.Context, topicID int64, user string, id int64) (unread int64, err error) {
	if err := checkText(ErrUser, user, 1, maxUser); err != nil {
		return 0, err
	}
	s.count("seen")
	unread, err = s.queries.Seen(ctx, s.db, dbsqlc.SeenParams{TopicID: topicID, UserID: user, ID: max(id, 0), AtMost: unreadCap})
	if err != nil {
		return 0, fmt.Errorf("noting what a user has seen: %w", err)
	}
	return unread, nil
}

// unread counts the user's unread messages of each topic as seen does, in one
// statement. Topics that do not exist count 0.
func (s *store) unread(ctx context.Context, user string, topics []string) (map[string]int64, error) {
	if err := checkText(ErrUser, user, 1, maxUser); err != nil {
		return nil, err
	}
	s.count("unread")
	found, err := s.queries.Unread(ctx, s.db, dbsqlc.UnreadParams{UserID: user, Names: topics, AtMost: unreadCap})
	if err != nil {
		return nil, fmt.Errorf("counting unread messages: %w", err)
	}
	counts := make(map[string]int64, len(topics))
	for _, name := range topics {
		counts[name] = 0
	}
	for _, t := range found {
		counts[t.Name] = t.Unread
	}
	return counts, nil
}
