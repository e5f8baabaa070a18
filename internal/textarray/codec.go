package textarray

import (
	"encoding/binary"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"
)

// Register makes the types of a connection encode a []string as text[] in one
// piece. pgx itself encodes it element by element, growing its buffer as it
// goes, which for a batch is as much garbage as everything else together.
func Register(types *pgtype.Map) {
	if usual, ok := types.TypeForOID(pgtype.TextArrayOID); ok {
		types.RegisterType(&pgtype.Type{Name: usual.Name, OID: usual.OID, Codec: codec{usual.Codec}})
	}
}

// codec is the usual codec of text[] but for a []string in the binary format.
type codec struct{ pgtype.Codec }

// PlanEncode implements [pgtype.Codec].
func (c codec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.([]string); ok && format == pgtype.BinaryFormatCode {
		return encodeTexts{}
	}
	return c.Codec.PlanEncode(m, oid, format, value)
}

// arrayHeader is the bytes before the elements of an array of one dimension.
const arrayHeader = 20

type encodeTexts struct{}

// Encode implements [pgtype.EncodePlan] with Postgres's binary format of an
// array (array_send): dimensions, whether there are nulls, the elements' type,
// length and lower bound, then each element's length and bytes.
func (encodeTexts) Encode(value any, buf []byte) ([]byte, error) {
	texts, ok := value.([]string)
	if !ok || texts == nil {
		return nil, nil
	}
	size := arrayHeader
	for _, text := range texts {
		size += 4 + len(text)
	}
	buf = slices.Grow(buf, size)
	buf = binary.BigEndian.AppendUint32(buf, 1)
	buf = binary.BigEndian.AppendUint32(buf, 0)
	buf = binary.BigEndian.AppendUint32(buf, pgtype.TextOID)
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(texts)))
	buf = binary.BigEndian.AppendUint32(buf, 1)
	for _, text := range texts {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(text)))
		buf = append(buf, text...)
	}
	return buf, nil
}
