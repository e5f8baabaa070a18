package realtime

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
)

const (
	// maxBatchLines is how many lines of a batch are taken; phoenix.js sends no
	// more. The rest is dropped without an error, as in Phoenix.
	maxBatchLines = 100
	// batchFactor: a batch may have so many times MaxFrame bytes in all.
	batchFactor = 4
)

var (
	errBodyTooLarge = errors.New("the body of a POST is too large")
	errBase64       = errors.New("a line of a batch is neither a JSON array nor base64")
)

// readFrames reads the body of a POST: one text frame, or for
// application/x-ndjson one frame a line. With errBase64 it returns the frames
// before the bad line, which count.
func (m *Mount) readFrames(w http.ResponseWriter, r *http.Request) ([]clientFrame, error) {
	limit := m.opts.MaxFrame
	batch := isBatch(r)
	if batch {
		limit *= batchFactor
	}
	// A deadline must not outlive a body that was read: the server goes on
	// reading, to notice that the client leaves. Otherwise it must stay, since
	// the server reads what is left of the body. A writer that knows no deadlines
	// is not a network connection.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(m.opts.Timeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		_ = control.SetReadDeadline(time.Time{})
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, fmt.Errorf("%w: the limit is %d bytes", errBodyTooLarge, limit)
	case err != nil:
		return nil, fmt.Errorf("read the body of a POST: %w", err)
	case batch:
		return parseBatch(body, m.opts.MaxFrame)
	default:
		return []clientFrame{{data: body}}, nil
	}
}

func isBatch(r *http.Request) bool {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && t == "application/x-ndjson"
}

// parseBatch splits a batch: a line that starts with [ is a text frame, any
// other the base64 of a binary one. Empty lines are skipped, so that a batch
// may end with a line break.
func parseBatch(body []byte, maxFrame int64) ([]clientFrame, error) {
	var frames []clientFrame
	lines := 0
	for line := range bytes.SplitSeq(body, []byte("\n")) {
		if lines++; lines > maxBatchLines {
			break
		}
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			continue
		}
		f := clientFrame{data: line}
		if line[0] != '[' {
			data, err := base64.StdEncoding.DecodeString(string(line))
			if err != nil {
				return frames, fmt.Errorf("%w: line %d", errBase64, lines)
			}
			f = clientFrame{data: data, binary: true}
		}
		if int64(len(f.data)) > maxFrame {
			return nil, fmt.Errorf("%w: line %d has %d bytes, the limit is %d", errBodyTooLarge, lines, len(f.data), maxFrame)
		}
		frames = append(frames, f)
	}
	return frames, nil
}
