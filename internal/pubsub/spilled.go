package pubsub

import (
	"encoding/binary"
	"fmt"
)

// The body column of a spilled message: the topic's length as a uvarint, the
// topic, the body.

func encodeSpilled(topic string, body []byte) []byte {
	row := make([]byte, 0, binary.MaxVarintLen64+len(topic)+len(body))
	row = binary.AppendUvarint(row, uint64(len(topic)))
	row = append(row, topic...)
	return append(row, body...)
}

// decodeSpilled returns a body that is a part of row.
func decodeSpilled(row []byte) (topic string, body []byte, err error) {
	topicLen, n := binary.Uvarint(row)
	if n <= 0 || topicLen > uint64(len(row)-n) {
		return "", nil, fmt.Errorf("%w: spilled row", errMalformed)
	}
	return string(row[n : n+int(topicLen)]), row[n+int(topicLen):], nil
}
