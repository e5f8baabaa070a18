package realtime

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/trunkline/trunkline/internal/wire"
)

// Broadcast is one event on its way to all subscribers of a topic.
type Broadcast struct {
	Topic   string
	Event   string
	Payload Payload
	ID      int64 // of a stored message in its topic; 0 for an ephemeral event

	from   *Channel
	frames [2]frameOnce
}

type frameOnce struct {
	once  sync.Once
	frame *wire.Frame
	err   error
}

// frame encodes the broadcast once for each serializer.
func (b *Broadcast) frame(v wire.Version) (*wire.Frame, error) {
	f := &b.frames[v-wire.V1]
	f.once.Do(func() { f.frame, f.err = v.Broadcast(b.Topic, b.Event, b.Payload) })
	return f.frame, f.err
}

// err is the encoding error that a subscriber of some version met.
func (b *Broadcast) err() error {
	for i := range b.frames {
		if err := b.frames[i].err; err != nil {
			return fmt.Errorf("broadcast %q on %q: %w", b.Event, b.Topic, err)
		}
	}
	return nil
}

// Bus carries broadcasts and direct messages between the nodes of a cluster.
// A node's own messages do not come back to it.
type Bus interface {
	// Node is this node's id in the cluster, unique for each start.
	Node() string
	// Publish sends to all other nodes.
	Publish(kind byte, topic string, body []byte) error
	// PublishTo sends to one node.
	PublishTo(node string, kind byte, topic string, body []byte) error
}

// The kinds of bus messages that belong to this package.
const (
	KindBroadcast byte = 'b'
	KindLongPoll  byte = 'l'
)

// BroadcastBody is the body of a KindBroadcast message.
func BroadcastBody(event string, p Payload) []byte {
	form := byte('j')
	if p.Binary {
		form = 'b'
	}
	body := make([]byte, 0, len(event)+len(p.Data)+8)
	body = append(body, form)
	body = strconv.AppendInt(body, int64(len(event)), 10)
	body = append(body, ':')
	body = append(body, event...)
	return append(body, p.Data...)
}

func parseBroadcast(topic string, body []byte) (*Broadcast, error) {
	bad := func(what string) error { return fmt.Errorf("bus broadcast on %q: %s", topic, what) }
	if len(body) == 0 || (body[0] != 'j' && body[0] != 'b') {
		return nil, bad("unknown form")
	}
	length, rest, ok := strings.Cut(string(body[1:]), ":")
	n, err := strconv.Atoi(length)
	if !ok || err != nil || n < 0 || n > len(rest) {
		return nil, bad("bad event length")
	}
	return &Broadcast{
		Topic:   topic,
		Event:   rest[:n],
		Payload: Payload{Data: []byte(rest[n:]), Binary: body[0] == 'b'},
	}, nil
}
