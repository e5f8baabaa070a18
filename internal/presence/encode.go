package presence

import (
	"encoding/binary"
	"maps"
	"slices"
)

// The format of what travels between replicas, version 1. All numbers are
// uvarints; a string is its length and its bytes.
//
//	message  = version kind replicas body
//	replicas = count (name vsn)*                sorted; below, by their index
//	context  = count (replica clock)*           sorted
//	clock    = replica context                  the body of a Clock
//	delta    = topics part*                     the body of a Delta, a part
//	topics   = count topic*                     for each replica, in order;
//	part     = range cloud values               topics sorted, too
//	range    = 0 | 1 start (end - start)
//	cloud    = count (lo - hi before, hi - lo)* sorted
//	values   = count (clock - clock before, topic index, owner, key, meta)*
//
// The same value always gives the same bytes.
const (
	formatVersion = 1
	kindClock     = 1
	kindDelta     = 2
)

// AppendClock appends the encoded clock to b.
func AppendClock(b []byte, c Clock) []byte {
	index := map[Replica]int{c.Replica: 0}
	for r := range c.Context {
		index[r] = 0
	}
	b, replicas := appendReplicas(append(b, formatVersion, kindClock), index)
	b = binary.AppendUvarint(b, uint64(index[c.Replica]))
	b = binary.AppendUvarint(b, uint64(len(c.Context)))
	for _, r := range replicas {
		if clock, ok := c.Context[r]; ok {
			b = binary.AppendUvarint(b, uint64(index[r]))
			b = binary.AppendUvarint(b, clock)
		}
	}
	return b
}

// AppendDelta appends the encoded delta to b.
func AppendDelta(b []byte, d *Delta) []byte {
	index := make(map[Replica]int)
	for r := range d.Clouds {
		index[r] = 0
	}
	for r := range d.Range.Start {
		index[r] = 0
	}
	topicIndex := make(map[string]uint64)
	for _, values := range d.Values {
		for _, e := range values {
			topicIndex[e.Topic] = 0
		}
	}
	topics := slices.Sorted(maps.Keys(topicIndex))

	b, replicas := appendReplicas(append(b, formatVersion, kindDelta), index)
	b = binary.AppendUvarint(b, uint64(len(topics)))
	for i, topic := range topics {
		topicIndex[topic] = uint64(i)
		b = appendString(b, topic)
	}
	for _, r := range replicas {
		b = appendRange(b, d.Range, r)
		b = appendCloud(b, d.Clouds[r])
		b = appendValues(b, d.Values[r], topicIndex)
	}
	return b
}

// appendReplicas appends the table of replicas, and fills in their indexes.
func appendReplicas(b []byte, index map[Replica]int) ([]byte, []Replica) {
	replicas := slices.SortedFunc(maps.Keys(index), Replica.Compare)
	b = binary.AppendUvarint(b, uint64(len(replicas)))
	for i, r := range replicas {
		index[r] = i
		b = appendString(b, r.Name)
		b = binary.AppendUvarint(b, r.Vsn)
	}
	return b, replicas
}

func appendRange(b []byte, rg Range, r Replica) []byte {
	start, ok := rg.Start[r]
	if !ok {
		return append(b, 0)
	}
	b = binary.AppendUvarint(append(b, 1), start)
	return binary.AppendUvarint(b, rg.End[r]-start)
}

func appendCloud(b []byte, cloud Cloud) []byte {
	b = binary.AppendUvarint(b, uint64(len(cloud)))
	before := uint64(0)
	for _, s := range cloud {
		b = binary.AppendUvarint(b, s.lo-before)
		b = binary.AppendUvarint(b, s.hi-s.lo)
		before = s.hi
	}
	return b
}

func appendValues(b []byte, values map[uint64]*Entry, topicIndex map[string]uint64) []byte {
	b = binary.AppendUvarint(b, uint64(len(values)))
	before := uint64(0)
	for _, clock := range slices.Sorted(maps.Keys(values)) {
		e := values[clock]
		b = binary.AppendUvarint(b, clock-before)
		b = binary.AppendUvarint(b, topicIndex[e.Topic])
		b = binary.AppendUvarint(b, uint64(e.Owner))
		b = appendString(b, e.Key)
		b = appendString(b, e.Meta)
		before = clock
	}
	return b
}

func appendString[S ~string | ~[]byte](b []byte, s S) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}
