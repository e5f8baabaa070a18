package history

import (
	"strconv"
	"strings"
)

// epochString is what clients compare: it differs when the topic was made anew
// and when the database is another one than before (see store.generation).
func epochString(topicEpoch string, generation int64) string {
	if topicEpoch == "" {
		topicEpoch = unborn
	}
	return strings.ReplaceAll(topicEpoch, "-", "") + "-" + strconv.FormatInt(generation, 10)
}

// unborn stands for the epoch of a topic on which nothing was published yet.
const unborn = "new"

// SameEpoch reports whether what a client saw under one epoch is a beginning of
// the topic's stream now. A client that knew the topic before its first message
// has seen the beginning, whatever epoch the topic has got since.
func SameEpoch(client, now string) bool {
	if client == now {
		return true
	}
	known, generation, _ := strings.Cut(client, "-")
	_, current, _ := strings.Cut(now, "-")
	return known == unborn && generation == current
}
