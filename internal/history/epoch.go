package history

import (
	"strconv"
	"strings"
)

// epochString is what clients compare: it differs when the topic was made anew
// and when the database is another one than before (see store.generation).
func epochString(topicEpoch string, generation int64) string {
	return strings.ReplaceAll(topicEpoch, "-", "") + "-" + strconv.FormatInt(generation, 10)
}
