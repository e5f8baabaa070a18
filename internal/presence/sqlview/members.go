package sqlview

import (
	"strings"
	"sync"
	"time"

	"github.com/trunkline/trunkline/internal/presence"
)

// place is where an owner of this node is.
type place struct {
	owner      presence.Owner
	topic, key string
}

// member is one row of the view, from the first meta of a place to its leave.
type member struct {
	number   int64
	entry    *presence.Entry // the newest; nil when it has left
	onlineAt time.Time
	sent     bool // the database may have the row
}

// members are those of this node, and what of them the database does not know.
type members struct {
	mu      sync.Mutex
	now     map[place]*member
	changed map[*member]struct{} // with what has left, if it was sent
	last    int64
}

func newMembers() *members {
	return &members{now: make(map[place]*member), changed: make(map[*member]struct{})}
}

// change follows the tracker. An update is a join and a leave of one place.
func (m *members) change(joins, leaves []*presence.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range joins {
		m.join(e)
	}
	for _, e := range leaves {
		m.leave(e)
	}
}

func (m *members) join(e *presence.Entry) {
	if strings.IndexByte(e.Topic, 0) >= 0 || strings.IndexByte(e.Key, 0) >= 0 {
		return // Postgres's text cannot hold it
	}
	at := place{e.Owner, e.Topic, e.Key}
	is := m.now[at]
	if is == nil {
		m.last++
		is = &member{number: m.last, onlineAt: time.Now()}
		m.now[at] = is
	}
	is.entry = e
	m.changed[is] = struct{}{}
}

func (m *members) leave(e *presence.Entry) {
	at := place{e.Owner, e.Topic, e.Key}
	is := m.now[at]
	if is == nil || is.entry != e { // it was updated
		return
	}
	delete(m.now, at)
	is.entry = nil
	if is.sent {
		m.changed[is] = struct{}{}
	} else {
		delete(m.changed, is)
	}
}

// waiting counts what the database does not know yet.
func (m *members) waiting() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.changed)
}

// any tells whether anybody is tracked.
func (m *members) any() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.now) > 0
}

// change of one row.
type change struct {
	*member
	entry *presence.Entry // nil deletes
}

// take returns changes to be sent now, so many at most and about so many bytes.
func (m *members) take(rows, bytes int) []change {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := make([]change, 0, min(rows, len(m.changed)))
	for is := range m.changed {
		if len(taken) == rows || bytes <= 0 {
			break
		}
		if is.entry != nil {
			bytes -= len(is.entry.Topic) + len(is.entry.Key) + len(is.entry.Meta)
		}
		is.sent = true
		delete(m.changed, is)
		taken = append(taken, change{is, is.entry})
	}
	return taken
}

// giveBack lets changes be sent again, as they are by then.
func (m *members) giveBack(taken []change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range taken {
		m.changed[c.member] = struct{}{}
	}
}

// startOver says that nobody sees any of the rows in the database.
func (m *members) startOver() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.changed)
	for _, is := range m.now {
		is.sent = false
		m.changed[is] = struct{}{}
	}
}
