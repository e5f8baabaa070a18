package pubsub

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The form of a payload, which is text because NOTIFY carries text:
//
//	payload = "1|" stream "|" node "|" epoch "|" counter "|" content
//	stream  = "b" (to all) / "d" (to one node) / "h" (heartbeat)
//	content = 1*frame            of b and d
//	        / counter *( "," incarnation ":" epoch ":" counter )    of h
//	frame   = kind encoding topic-length "," body-length ":" topic body
//	kind    = two hexadecimal digits
//	encoding = "0" (both as they are) / "1" (body in base64) / "2" (topic in
//	           base64) / "3" (both) / "s" (spilled: body is the row's id in hex)
//
// Numbers are in base 36, lengths count bytes as sent. The counter of b and d
// is that of the first frame, the others follow on; it makes each payload
// unique, since Postgres folds equal ones of one transaction. The epoch of a
// direct stream grows when its sender forgot the stream and began another; it
// is 0 otherwise. A heartbeat's counter is its own number; its content is the
// number of the newest broadcast and those of recently used direct streams.

const (
	// maxPayload is the size up to which messages share a payload. Postgres
	// refuses 8,000 bytes.
	maxPayload = 7900
	// maxHeader is more than the longest header takes.
	maxHeader = 128

	payloadVersion = "1|"
	spillIDLen     = 16
)

const (
	streamBroadcast = 'b'
	streamDirect    = 'd'
	streamHeartbeat = 'h'
)

const (
	bodyBase64   = 1
	topicBase64  = 2
	spilledFrame = 's'
)

var (
	errMalformed = errors.New("malformed payload")
	errVersion   = errors.New("payload of another version")
)

type header struct {
	stream         byte
	node           string
	epoch, counter uint64
}

// A frame is one message of a payload. If spilled, topic and body are in the
// row of that id.
type frame struct {
	kind    byte
	topic   string
	body    []byte
	spilled bool
	id      [spillIDLen]byte
}

// A heartbeat's content.
type heartbeat struct {
	broadcast uint64
	direct    []directCounter
}

type directCounter struct {
	incarnation    string
	epoch, counter uint64
}

func appendHeader(dst []byte, h header) []byte {
	dst = append(dst, payloadVersion...)
	dst = append(dst, h.stream, '|')
	dst = append(dst, h.node...)
	dst = append(dst, '|')
	dst = strconv.AppendUint(dst, h.epoch, 36)
	dst = append(dst, '|')
	dst = strconv.AppendUint(dst, h.counter, 36)
	return append(dst, '|')
}

func appendFrame(dst []byte, kind byte, topic string, body []byte) []byte {
	encoding := byte(0)
	topicLen, bodyLen := len(topic), len(body)
	if !isText(body) {
		encoding |= bodyBase64
		bodyLen = base64.RawStdEncoding.EncodedLen(bodyLen)
	}
	if !utf8.ValidString(topic) || strings.IndexByte(topic, 0) >= 0 {
		encoding |= topicBase64
		topicLen = base64.RawStdEncoding.EncodedLen(topicLen)
	}
	dst = appendFrameHead(dst, kind, '0'+encoding, topicLen, bodyLen)
	if encoding&topicBase64 != 0 {
		dst = base64.RawStdEncoding.AppendEncode(dst, []byte(topic))
	} else {
		dst = append(dst, topic...)
	}
	if encoding&bodyBase64 != 0 {
		return base64.RawStdEncoding.AppendEncode(dst, body)
	}
	return append(dst, body...)
}

func appendSpilledFrame(dst []byte, kind byte, id [spillIDLen]byte) []byte {
	dst = appendFrameHead(dst, kind, spilledFrame, 0, hex.EncodedLen(spillIDLen))
	return hex.AppendEncode(dst, id[:])
}

func appendFrameHead(dst []byte, kind, encoding byte, topicLen, bodyLen int) []byte {
	dst = hex.AppendEncode(dst, []byte{kind})
	dst = append(dst, encoding)
	dst = strconv.AppendUint(dst, uint64(topicLen), 36)
	dst = append(dst, ',')
	dst = strconv.AppendUint(dst, uint64(bodyLen), 36)
	return append(dst, ':')
}

func appendHeartbeat(dst []byte, h heartbeat) []byte {
	dst = strconv.AppendUint(dst, h.broadcast, 36)
	for _, d := range h.direct {
		dst = append(dst, ',')
		dst = append(dst, d.incarnation...)
		dst = append(dst, ':')
		dst = strconv.AppendUint(dst, d.epoch, 36)
		dst = append(dst, ':')
		dst = strconv.AppendUint(dst, d.counter, 36)
	}
	return dst
}

// isText reports whether NOTIFY can carry b as it is.
func isText(b []byte) bool {
	return utf8.Valid(b) && bytes.IndexByte(b, 0) < 0
}

// decodeHeader returns the header and the content after it. The header's node
// is a part of payload.
func decodeHeader(payload string) (header, string, error) {
	rest, ok := strings.CutPrefix(payload, payloadVersion)
	if !ok {
		return header{}, "", errVersion
	}
	parts := strings.SplitN(rest, "|", 5)
	if len(parts) != 5 || len(parts[0]) != 1 {
		return header{}, "", fmt.Errorf("%w: header", errMalformed)
	}
	h := header{stream: parts[0][0], node: parts[1]}
	if h.stream != streamBroadcast && h.stream != streamDirect && h.stream != streamHeartbeat {
		return header{}, "", fmt.Errorf("%w: stream %q", errMalformed, h.stream)
	}
	if _, err := incarnationOf(h.node); err != nil {
		return header{}, "", fmt.Errorf("%w: %w", errMalformed, err)
	}
	var err error
	if h.epoch, err = parseNumber(parts[2]); err != nil {
		return header{}, "", err
	}
	if h.counter, err = parseNumber(parts[3]); err != nil {
		return header{}, "", err
	}
	if h.counter == 0 || (h.stream == streamDirect) != (h.epoch > 0) {
		return header{}, "", fmt.Errorf("%w: epoch %d, counter %d", errMalformed, h.epoch, h.counter)
	}
	return h, parts[4], nil
}

// decodeFrames decodes the content of a b or d payload. The frames share no
// memory with it.
func decodeFrames(content string) ([]frame, error) {
	var frames []frame
	for len(content) > 0 {
		f, rest, err := decodeFrame(content)
		if err != nil {
			return nil, err
		}
		frames = append(frames, f)
		content = rest
	}
	if frames == nil {
		return nil, fmt.Errorf("%w: no frame", errMalformed)
	}
	return frames, nil
}

func decodeFrame(content string) (f frame, rest string, err error) {
	head, rest, found := strings.Cut(content, ":")
	topicPart, bodyPart, foundComma := strings.Cut(head, ",")
	if !found || !foundComma || len(topicPart) < 4 {
		return f, "", fmt.Errorf("%w: frame head", errMalformed)
	}
	kind, err := hex.DecodeString(topicPart[:2])
	if err != nil {
		return f, "", fmt.Errorf("%w: kind: %w", errMalformed, err)
	}
	f.kind = kind[0]
	encoding := topicPart[2]
	topicLen, err := parseNumber(topicPart[3:])
	if err != nil {
		return f, "", err
	}
	bodyLen, err := parseNumber(bodyPart)
	if err != nil {
		return f, "", err
	}
	if left := uint64(len(rest)); topicLen > left || bodyLen > left-topicLen {
		return f, "", fmt.Errorf("%w: frame of %d + %d bytes, %d are left", errMalformed, topicLen, bodyLen, left)
	}
	topic, body, rest := rest[:topicLen], rest[topicLen:topicLen+bodyLen], rest[topicLen+bodyLen:]
	if encoding == spilledFrame {
		f.spilled = true
		if topicLen != 0 || bodyLen != 2*spillIDLen {
			return f, "", fmt.Errorf("%w: spill reference of %d + %d bytes", errMalformed, topicLen, bodyLen)
		}
		if _, err := hex.Decode(f.id[:], []byte(body)); err != nil {
			return f, "", fmt.Errorf("%w: spill reference: %w", errMalformed, err)
		}
		return f, rest, nil
	}
	if encoding < '0' || encoding > '3' {
		return f, "", fmt.Errorf("%w: encoding %q", errMalformed, encoding)
	}
	encoding -= '0'
	if encoding&topicBase64 != 0 {
		raw, err := base64.RawStdEncoding.DecodeString(topic)
		if err != nil {
			return f, "", fmt.Errorf("%w: topic: %w", errMalformed, err)
		}
		f.topic = string(raw)
	} else {
		f.topic = strings.Clone(topic)
	}
	if encoding&bodyBase64 != 0 {
		if f.body, err = base64.RawStdEncoding.DecodeString(body); err != nil {
			return f, "", fmt.Errorf("%w: body: %w", errMalformed, err)
		}
	} else {
		f.body = []byte(body)
	}
	return f, rest, nil
}

func decodeHeartbeat(content string) (heartbeat, error) {
	parts := strings.Split(content, ",")
	broadcast, err := parseNumber(parts[0])
	if err != nil {
		return heartbeat{}, err
	}
	h := heartbeat{broadcast: broadcast}
	for _, part := range parts[1:] {
		fields := strings.Split(part, ":")
		if len(fields) != 3 || !isIncarnation(fields[0]) {
			return heartbeat{}, fmt.Errorf("%w: heartbeat's entry", errMalformed)
		}
		d := directCounter{incarnation: fields[0]}
		if d.epoch, err = parseNumber(fields[1]); err != nil {
			return heartbeat{}, err
		}
		if d.counter, err = parseNumber(fields[2]); err != nil {
			return heartbeat{}, err
		}
		h.direct = append(h.direct, d)
	}
	return h, nil
}

// parseNumber refuses what could overflow when frames are counted on from it.
func parseNumber(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 36, 64)
	if err != nil || n > math.MaxInt64 {
		return 0, fmt.Errorf("%w: number %q", errMalformed, s)
	}
	return n, nil
}
