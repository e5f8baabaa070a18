package pubsub

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

const (
	// spillAge is how old a spilled message is when no node fetches it any more.
	spillAge = time.Minute
	// expireAtMost bounds the rows of one statement.
	expireAtMost = 200
)

// ExpireSpilled deletes spilled messages that are too old to be fetched,
// whichever node wrote them. Somebody has to call it now and then, for the whole
// cluster.
func ExpireSpilled(ctx context.Context, db dbsqlc.DBTX, schema string) error {
	in, err := dbsqlc.NewSchema(schema)
	if err != nil {
		return err
	}
	for {
		deleted, err := dbsqlc.New().ExpireSpill(ctx, in.In(db), dbsqlc.ExpireSpillParams{
			OlderThanSeconds: spillAge.Seconds(), AtMost: expireAtMost,
		})
		if err != nil {
			return fmt.Errorf("deleting old large messages: %w", err)
		}
		if deleted < expireAtMost {
			return nil
		}
	}
}

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
