package wire

import (
	"fmt"

	"golang.org/x/mod/semver"
)

// Version is the serializer of a connection. The zero Version is none.
type Version uint8

const (
	// V1 is Phoenix.Socket.V1.JSONSerializer: JSON objects, no binary frames.
	V1 Version = 1 + iota
	// V2 is Phoenix.Socket.V2.JSONSerializer: JSON arrays and binary frames.
	V2
)

// String gives the base version of the serializer, as clients send it in `vsn`.
func (v Version) String() string {
	switch v {
	case V1:
		return "1.0.0"
	case V2:
		return "2.0.0"
	default:
		return fmt.Sprintf("unknown (%d)", uint8(v))
	}
}

// ParseVersion picks the serializer for the `vsn` parameter of a connection;
// present is false when the client sent none, which means 1.0.0.
//
// As in Phoenix.Socket.Transport the parameter is a complete three-part version
// under the rules of Elixir's Version module: `~> 1.0.0` is V1, `~> 2.0.0` is
// V2, and anything else is an error that wraps ErrVersion.
func ParseVersion(vsn string, present bool) (Version, error) {
	if !present {
		return V1, nil
	}
	v := "v" + vsn
	// Canonical completes "v2" and "v2.0", which Elixir refuses.
	if !semver.IsValid(v) || semver.Canonical(v)+semver.Build(v) != v {
		return 0, fmt.Errorf("wire: vsn %.32q is not a version like 2.0.0: %w", vsn, ErrVersion)
	}
	switch {
	case semver.MajorMinor(v) == "v1.0" && semver.Compare(v, "v1.0.0") >= 0:
		return V1, nil
	case semver.MajorMinor(v) == "v2.0" && semver.Compare(v, "v2.0.0") >= 0:
		return V2, nil
	}
	return 0, fmt.Errorf("wire: vsn %.32q, served are ~> 1.0.0 and ~> 2.0.0: %w", vsn, ErrVersion)
}
