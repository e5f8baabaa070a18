package presence

import (
	"cmp"
	"strconv"
	"strings"
)

// Replica is one life of a node: its name, and a version that rises with each
// start, so that a restarted node is a new replica (Phoenix.Tracker.Replica).
type Replica struct {
	Name string
	Vsn  uint64
}

// Compare orders by name, then by version.
func (r Replica) Compare(o Replica) int {
	if c := strings.Compare(r.Name, o.Name); c != 0 {
		return c
	}
	return cmp.Compare(r.Vsn, o.Vsn)
}

// String gives "name@vsn".
func (r Replica) String() string {
	return r.Name + "@" + strconv.FormatUint(r.Vsn, 10)
}
