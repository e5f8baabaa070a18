package presence

import (
	"slices"
	"strings"
	"time"
)

// Status says what is thought of a replica.
type Status int

// The statuses of Phoenix.Tracker. A replica that is down may come back and
// keeps its entries; one that is permanently down is forgotten.
const (
	Up Status = iota + 1
	Down
	Permdown
)

// String gives the status in words.
func (s Status) String() string {
	switch s {
	case Up:
		return "up"
	case Down:
		return "down"
	case Permdown:
		return "permanently down"
	}
	return "unknown"
}

// Change says that a replica has got another status. The set follows it by
// ReplicaUp, ReplicaDown or RemoveDownReplicas.
type Change struct {
	Replica Replica
	Status  Status
}

// Replicas tells from heartbeats which other replicas are up, by name: of each
// name only the latest version lives.
type Replicas struct {
	down, permdown time.Duration
	byName         map[string]*heard
	departed       map[string]departure
}

type heard struct {
	replica Replica
	at      time.Time
	status  Status
}

// A departure is kept for a while, lest a message that was under way when its
// sender took leave brings it back.
type departure struct {
	vsn uint64
	at  time.Time
}

// NewReplicas tells who is up by these periods: a replica is down when it was
// silent for longer than down, and permanently down when for longer than
// permdown, which must be greater.
func NewReplicas(down, permdown time.Duration) *Replicas {
	return &Replicas{
		down: down, permdown: permdown,
		byName: make(map[string]*heard), departed: make(map[string]departure),
	}
}

// PutHeartbeat notes a sign of life and returns what it changes. A first one
// means up. One of a name with a greater version means that the node was
// started anew: the old replica is permanently down at once, the new one up.
//
// It is false for a replica whose node has been started anew since, or that
// took leave: the message it came with must be ignored.
func (rs *Replicas) PutHeartbeat(r Replica, now time.Time) ([]Change, bool) {
	if gone, ok := rs.departed[r.Name]; ok && r.Vsn <= gone.vsn {
		return nil, false
	}
	prev, ok := rs.byName[r.Name]
	if ok && r.Vsn < prev.replica.Vsn {
		return nil, false
	}
	rs.byName[r.Name] = &heard{replica: r, at: now, status: Up}
	switch {
	case !ok:
		return []Change{{r, Up}}, true
	case prev.replica != r:
		return []Change{{prev.replica, Permdown}, {r, Up}}, true
	case prev.status == Down:
		return []Change{{r, Up}}, true
	}
	return nil, true
}

// Depart notes that a replica took leave (graceful_permdown): it is
// permanently down, and what arrives from it later is ignored.
func (rs *Replicas) Depart(r Replica, now time.Time) []Change {
	if gone, ok := rs.departed[r.Name]; !ok || gone.vsn < r.Vsn {
		rs.departed[r.Name] = departure{r.Vsn, now}
	}
	if prev, ok := rs.byName[r.Name]; !ok || prev.replica != r {
		return nil
	}
	delete(rs.byName, r.Name)
	return []Change{{r, Permdown}}
}

// DetectDown returns who has been silent for too long, in the order of names.
func (rs *Replicas) DetectDown(now time.Time) []Change {
	var changes []Change
	for name, h := range rs.byName {
		switch silent := now.Sub(h.at); {
		case silent > rs.permdown:
			delete(rs.byName, name)
			changes = append(changes, Change{h.replica, Permdown})
		case silent > rs.down && h.status == Up:
			h.status = Down
			changes = append(changes, Change{h.replica, Down})
		}
	}
	for name, gone := range rs.departed {
		if now.Sub(gone.at) > rs.permdown {
			delete(rs.departed, name)
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Replica.Name, b.Replica.Name) })
	return changes
}

// Status is what is thought of r, and false if nothing: it is not known, or
// forgotten.
func (rs *Replicas) Status(r Replica) (Status, bool) {
	if h, ok := rs.byName[r.Name]; ok && h.replica == r {
		return h.status, true
	}
	return 0, false
}
