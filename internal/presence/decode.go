package presence

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// ErrMalformed is an encoded clock or delta that no replica of this version has
// made. The error says what is wrong and where.
var ErrMalformed = errors.New("malformed presence message")

// maxReplicas bounds the replicas of one message: far more than a cluster has,
// and little to allocate.
const maxReplicas = 4096

// DecodeClock reads what AppendClock made, all of b.
func DecodeClock(b []byte) (Clock, error) {
	r := decoder{rest: b, size: len(b)}
	r.header(kindClock)
	replicas := r.replicas()
	c := Clock{Replica: r.replica(replicas), Context: make(Context)}
	next := 0
	for n := r.count("clocks", len(replicas)); n > 0 && r.err == nil; n-- {
		i := r.index("replica", len(replicas))
		if i < next {
			r.fail("replicas are not in order")
			break
		}
		next = i + 1
		c.Context[replicas[i]] = r.clock("clock", 0, 0)
	}
	if err := r.end(); err != nil {
		return Clock{}, err
	}
	return c, nil
}

// DecodeDelta reads what AppendDelta made, all of b. What it returns has the
// invariants of a Delta: sorted spans, values whose tags are in the clouds, and
// metas that are valid JSON. It does not point into b.
func DecodeDelta(b []byte) (*Delta, error) {
	r := decoder{rest: b, size: len(b)}
	r.header(kindDelta)
	replicas := r.replicas()
	topics := r.topics()
	d := newDelta()
	for _, replica := range replicas {
		r.readRange(d, replica)
		cloud := r.cloud()
		if len(cloud) > 0 {
			d.Clouds[replica] = cloud
		}
		if values := r.values(replica, cloud, topics); len(values) > 0 {
			d.Values[replica] = values
		}
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return d, nil
}

// decoder reads the format. After the first error it gives nothing but zeros,
// and counts of zero, so that loops end.
type decoder struct {
	rest []byte
	size int
	err  error
}

func (r *decoder) fail(format string, args ...any) {
	if r.err == nil {
		at := r.size - len(r.rest)
		r.err = fmt.Errorf("%w: at byte %d of %d: "+format, append([]any{ErrMalformed, at, r.size}, args...)...)
	}
	r.rest = nil
}

func (r *decoder) end() error {
	if r.err == nil && len(r.rest) > 0 {
		r.fail("%d bytes follow the message", len(r.rest))
	}
	return r.err
}

func (r *decoder) header(kind byte) {
	switch {
	case len(r.rest) < 2:
		r.fail("no version and kind")
	case r.rest[0] != formatVersion:
		r.fail("version %d, this is %d", r.rest[0], formatVersion)
	case r.rest[1] != kind:
		r.fail("kind %d, not %d", r.rest[1], kind)
	default:
		r.rest = r.rest[2:]
	}
}

func (r *decoder) uvarint(what string) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail("no number for the %s", what)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count reads how many follow: at most limit, and one byte each at least.
func (r *decoder) count(what string, limit int) int {
	n := r.uvarint("count of " + what)
	if limit = min(limit, len(r.rest)); n > uint64(limit) {
		r.fail("%d %s, %d are possible", n, what, limit)
		return 0
	}
	return int(n)
}

func (r *decoder) index(what string, of int) int {
	i := r.uvarint(what)
	if i >= uint64(of) {
		r.fail("%s %d of %d", what, i, of)
		return 0
	}
	return int(i)
}

// clock reads a clock as its distance, of at least step, from the one before.
func (r *decoder) clock(what string, before, step uint64) uint64 {
	d := r.uvarint(what)
	if d < step || d > maxClock-before {
		r.fail("%s %d after %d", what, d, before)
		return 0
	}
	return before + d
}

func (r *decoder) bytes(what string) []byte {
	n := r.uvarint("length of a " + what)
	if n > uint64(len(r.rest)) {
		r.fail("a %s of %d bytes, %d are left", what, n, len(r.rest))
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *decoder) text(what string) string {
	b := r.bytes(what)
	if !utf8.Valid(b) {
		r.fail("a %s that is not UTF-8", what)
	}
	return string(b)
}

func (r *decoder) replicas() []Replica {
	n := r.count("replicas", maxReplicas)
	replicas := make([]Replica, 0, n)
	for i := range n {
		replica := Replica{r.text("name"), r.uvarint("vsn")}
		if i > 0 && replica.Compare(replicas[i-1]) <= 0 {
			r.fail("replicas are not in order")
		}
		replicas = append(replicas, replica)
	}
	return replicas
}

func (r *decoder) replica(of []Replica) Replica {
	i := r.index("replica", len(of))
	if r.err != nil {
		return Replica{}
	}
	return of[i]
}

func (r *decoder) topics() []string {
	n := r.count("topics", len(r.rest))
	topics := make([]string, 0, n)
	for i := range n {
		topic := r.text("topic")
		if i > 0 && topic <= topics[i-1] {
			r.fail("topics are not in order")
			break
		}
		topics = append(topics, topic)
	}
	return topics
}

func (r *decoder) readRange(d *Delta, replica Replica) {
	switch has := r.uvarint("range"); has {
	case 0:
	case 1:
		start := r.clock("start", 0, 0)
		d.Range.Start[replica], d.Range.End[replica] = start, r.clock("end", start, 0)
	default:
		r.fail("range %d, neither 0 nor 1", has)
	}
}

func (r *decoder) cloud() Cloud {
	n := r.count("spans", len(r.rest))
	cloud := make(Cloud, 0, n)
	before, step := uint64(0), uint64(1)
	for ; n > 0 && r.err == nil; n-- {
		lo := r.clock("span", before, step)
		before = r.clock("end of a span", lo, 0)
		cloud = append(cloud, span{lo, before})
		step = 2 // spans do not touch
	}
	return cloud
}

func (r *decoder) values(replica Replica, cloud Cloud, topics []string) map[uint64]*Entry {
	n := r.count("values", len(r.rest))
	values := make(map[uint64]*Entry, n)
	for clock := uint64(0); n > 0 && r.err == nil; n-- {
		clock = r.clock("value", clock, 1)
		topic := r.index("topic", len(topics))
		owner := Owner(r.uvarint("owner"))
		key := r.text("key")
		meta := r.meta()
		switch {
		case r.err != nil:
		case !cloud.Has(clock):
			r.fail("value %d is not in its cloud", clock)
		default:
			values[clock] = &Entry{Topic: topics[topic], Owner: owner, Key: key, Meta: meta, Tag: Tag{replica, clock}}
		}
	}
	return values
}

// meta reads one, and does not point into what is read.
func (r *decoder) meta() json.RawMessage {
	meta := r.bytes("meta")
	if r.err == nil && !json.Valid(meta) {
		r.fail("a meta that is not JSON")
	}
	return slices.Clone(json.RawMessage(meta))
}
