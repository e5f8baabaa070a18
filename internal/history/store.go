package history

import (
	"context"
	"time"

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
	return nil, nil
}

// findTopics returns the states of those topics that exist, by name.
func (s *store) findTopics(ctx context.Context, names []string) (map[string]topicState, error) {
	return nil, nil
}

// heads returns the newest id of each topic, by topic id. Topics that do not
// exist (any more: after a restore from a backup) are missing.
func (s *store) heads(ctx context.Context, topicIDs []int64) (map[int64]int64, error) {
	return nil, nil
}

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
	return nil, time.Time{}, nil
}

// A drained row left the outbox. Only with statusStored there is something to
// tell the subscribers.
type drained struct {
	topic     string
	topicID   int64 // 0 of ephemeral ones
	ephemeral bool  // was never stored: to be sent over the bus as it is
	status    status
	row       // of ephemeral ones: event and payload only
}

// drain numbers and stores up to limit of the oldest rows of the outbox (and at
// most some 4 MiB of them), in one transaction, and returns them in the
// outbox's order. No rows mean that it is empty.
func (s *store) drain(ctx context.Context, limit int) ([]drained, error) {
	return nil, nil
}

// A reading is one topic's part of a grouped query.
type reading struct {
	topicID  int64
	after    int64         // ids greater than this
	limit    int           // messages
	maxAge   time.Duration // of the pattern; 0 reads all
	maxCount int64         // of the pattern; 0 reads all
}

// rows is the raw form of a Page: see there.
type rows struct {
	topicID int64
	rows    []row
	more    bool
	head    int64
	oldest  int64
	epoch   string // of the topic alone: see epochString
}

// after reads pages of many topics in one statement, ascending, each of at most
// maxBytes of payloads (but at least one message where there is one). The
// result has one element for each reading, in the same order; of a topic that
// does not exist it has only the topicID. A hole is read by after = first-1 and
// limit = its length, without maxAge and maxCount.
func (s *store) after(ctx context.Context, readings []reading, maxBytes int) ([]rows, error) {
	return nil, nil
}

// before reads the limit newest messages with ids less than before, ascending;
// math.MaxInt64 reads the newest of all. reading.after is not used.
func (s *store) before(ctx context.Context, r reading, before int64, maxBytes int) (rows, error) {
	return rows{}, nil
}

// unreadCap is where counting unread messages ends.
const unreadCap = 1000

// seen notes that the user has read the topic up to id (never less than noted
// before, never more than the head), and returns how many messages are unread,
// at most unreadCap. Edits and deleted messages do not count.
func (s *store) seen(ctx context.Context, topicID int64, user string, id int64) (unread int64, err error) {
	return 0, nil
}

// unread counts the user's unread messages of each topic as seen does, in one
// statement. Topics that do not exist count 0.
func (s *store) unread(ctx context.Context, user string, topics []string) (map[string]int64, error) {
	return nil, nil
}

// generation returns a number that rises whenever this database is found to be
// another one than before: restored from a backup, copied to another server, or
// promoted. To be asked on each new connection, before anything is appended on
// it: topic ids, heads and ids known from an earlier generation are void.
func (s *store) generation(ctx context.Context) (int64, error) {
	return 0, nil
}

// register tells the SQL functions the patterns, in place of those of before.
func (s *store) register(ctx context.Context, ps patterns) error {
	return nil
}

// publish puts a message into the outbox, for a db that is the caller's
// transaction. It is checked by the SQL function.
func (s *store) publish(ctx context.Context, topic, event string, payload []byte, key string) error {
	return nil
}
