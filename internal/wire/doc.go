// Package wire turns frames of the Phoenix Channels protocol into messages and
// messages into frames, for both serializers: version 1 (JSON objects) and
// version 2 (JSON arrays and binary frames). It follows Phoenix's modules
// Phoenix.Socket.V1.JSONSerializer and Phoenix.Socket.V2.JSONSerializer.
//
// It is pure: no I/O, no clock, no goroutines, no package state. It imports
// the standard library and golang.org/x/mod/semver, and nothing of ours.
//
// Invariants:
//   - What Decode accepts from a text frame is valid JSON and valid UTF-8
//     throughout, so a payload can be sent on to other clients as it is.
//   - Refs are opaque JSON values; they are kept and written back byte by byte.
//   - An Envelope points into the frame it was decoded from; Clone frees it.
//   - A Frame is never changed after it was made and may be shared.
//   - No error text holds any part of a payload.
package wire
