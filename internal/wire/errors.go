package wire

import (
	"errors"
	"fmt"
)

// Causes of a [DecodeError]. Phoenix ends the connection on each of them: close
// code 1007 for ErrUTF8, 1011 for all others.
var (
	// ErrUTF8 is a text frame that is not valid UTF-8. Encoders return it for
	// a topic, event or status that is not.
	ErrUTF8 = errors.New("invalid UTF-8")
	// ErrSyntax is a text that is not one JSON value.
	ErrSyntax = errors.New("invalid JSON")
	// ErrDepth is JSON nested deeper than MaxDepth.
	ErrDepth = fmt.Errorf("JSON nested deeper than %d levels", MaxDepth)
	// ErrShape is valid JSON, or a binary frame, that is no message.
	ErrShape = errors.New("not a message")
)

// Errors of the encoders. Each is returned wrapped, with the name of the field.
var (
	// ErrTooLong is a ref, topic, event or status of more than 255 bytes for a
	// binary frame, whose header gives each length in one byte.
	ErrTooLong = errors.New("longer than 255 bytes, the limit of a binary frame")
	// ErrPayloadNotMap is the payload of a push or broadcast that is no JSON
	// object; version 2 demands one.
	ErrPayloadNotMap = errors.New("payload is not a JSON object")
	// ErrBinaryToV1 is a binary payload for a version 1 client, which has no
	// binary frames.
	ErrBinaryToV1 = errors.New("binary payload for a version 1 client")
	// ErrNotText is a ref or topic that has no text (an object or array, or for
	// a topic any value that is no string) in a binary frame, which holds text only.
	ErrNotText = errors.New("value without text in a binary frame")
)

// ErrVersion is a `vsn` that no serializer serves, or a Version that is
// neither V1 nor V2.
var ErrVersion = errors.New("unsupported protocol version")

// DecodeError says why a frame is no message. Err is or wraps one of ErrUTF8,
// ErrSyntax, ErrDepth, ErrShape, ErrVersion.
type DecodeError struct {
	Version Version
	Binary  bool // a binary frame
	Offset  int  // byte of the frame at which it was noticed
	Err     error
}

func (e *DecodeError) Error() string {
	kind := "text"
	if e.Binary {
		kind = "binary"
	}
	return fmt.Sprintf("wire: decode %s frame (vsn %s) at byte %d: %v", kind, e.Version, e.Offset, e.Err)
}

func (e *DecodeError) Unwrap() error { return e.Err }
