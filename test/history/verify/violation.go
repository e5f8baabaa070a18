package verify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind names what was broken.
type Kind string

const (
	KindLost       Kind = "lost"           // acknowledged, but not stored
	KindDuplicate  Kind = "duplicate"      // stored, or handed to an application, twice
	KindOutOfOrder Kind = "out of order"   // a later message has, or came with, a lower id
	KindRolledBack Kind = "rolled back"    // what was rolled back is there
	KindRefused    Kind = "refused"        // what was answered with an error is there
	KindGap        Kind = "gap"            // ids that are missing
	KindNotAtHead  Kind = "not at head"    // a subscriber has not got the newest messages
	KindWrongID    Kind = "wrong id"       // stored under another id than the reply said, or delivered without one
	KindDifferent  Kind = "different"      // another topic, event, text or payload than was published or stored
	KindStranger   Kind = "stranger"       // nobody published it, or it is not stored
	KindComplaint  Kind = "contract"       // an answer that the contract rules out
	KindUnanswered Kind = "unacknowledged" // never acknowledged although all was well again
	KindIdle       Kind = "too little"     // the run did too little to prove anything
)

// A Violation is one broken promise.
type Violation struct {
	Kind   Kind
	Detail string
}

func (v Violation) String() string { return string(v.Kind) + ": " + v.Detail }

// findings collects violations.
type findings []Violation

func (f *findings) add(kind Kind, format string, arguments ...any) {
	*f = append(*f, Violation{kind, fmt.Sprintf(format, arguments...)})
}

// ranges words ids as "1, 3 to 7". It sorts them.
func ranges(ids []int64) string {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	var words []string
	for i := 0; i < len(ids); {
		j := i
		for j+1 < len(ids) && ids[j+1] == ids[j]+1 {
			j++
		}
		word := strconv.FormatInt(ids[i], 10)
		if j > i {
			word += " to " + strconv.FormatInt(ids[j], 10)
		}
		words = append(words, word)
		i = j + 1
	}
	return strings.Join(words, ", ")
}
