package realtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// serveLongPoll is Phoenix.Transports.LongPoll: the answers are HTTP 200 with
// the status in the body. A refusal of the origin comes first.
func (m *Mount) serveLongPoll(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	if !originAllowed(m.opts.LongPollOrigin, r) {
		m.engine.log.Warn("connection refused: origin not allowed", "mount", m.path, "origin", r.Header.Get("Origin"))
		m.refuseLongPoll(w)
		return
	}
	switch r.Method {
	case http.MethodOptions:
		h := w.Header()
		h.Set("Access-Control-Allow-Headers", strings.Join(r.Header.Values("Access-Control-Request-Headers"), ", "))
		h.Set("Access-Control-Allow-Methods", "get, post, options")
		h.Set("Access-Control-Max-Age", "3600")
		w.WriteHeader(http.StatusOK)
	case http.MethodGet:
		m.getLongPoll(w, r)
	case http.MethodPost:
		m.postLongPoll(w, r)
	default:
		w.WriteHeader(http.StatusBadRequest)
	}
}

func (m *Mount) refuseLongPoll(w http.ResponseWriter) {
	m.engine.metrics.refused.Inc()
	writeStatus(w, http.StatusForbidden)
}

// getLongPoll polls a session. Where there is none, or none any more, it opens
// a new one.
func (m *Mount) getLongPoll(w http.ResponseWriter, r *http.Request) {
	signed := sessionToken(r)
	peer, ok := m.resume(signed)
	if ok {
		answer, alive := peer.poll(r.Context())
		if alive {
			m.writeAnswer(w, r, signed, peer, answer)
			return
		}
		if r.Context().Err() != nil {
			return
		}
	}
	m.openLongPoll(w, r)
}

func (m *Mount) writeAnswer(w http.ResponseWriter, r *http.Request, signed string, peer longPollPeer, answer pollAnswer) {
	err := r.Context().Err()
	switch answer.status {
	case http.StatusOK:
		if err == nil {
			err = writeMessages(w, answer.status, signed, answer.messages)
		}
		peer.settle(err == nil)
	case http.StatusNoContent:
		_ = writeMessages(w, answer.status, signed, nil) // it holds nothing to lose
	case http.StatusInternalServerError:
		crashLongPoll(w)
	default:
		writeStatus(w, answer.status)
	}
}

// openLongPoll asks the application and answers 410 with the new session's
// token. A node that shuts down answers HTTP 503 without a body: a load
// balancer takes it as a failed node and phoenix.js as a lost connection, so
// that it tries again.
func (m *Mount) openLongPoll(w http.ResponseWriter, r *http.Request) {
	if m.engine.Draining() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var authToken string
	if m.opts.AuthToken {
		authToken = r.Header.Get("X-Phoenix-AuthToken")
	}
	socket, err := m.connect(r, authToken)
	var crash *PanicError
	switch {
	case errors.As(err, &crash):
		crashLongPoll(w)
		return
	case err != nil:
		m.refuseLongPoll(w)
		return
	}
	session, err := m.engine.polls.open(socket)
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	signed, err := m.engine.polls.sign(session)
	if err == nil {
		err = writeMessages(w, http.StatusGone, signed, nil)
	} else {
		crashLongPoll(w)
	}
	if err != nil {
		m.engine.log.Error("long-polling session not opened", "mount", m.path, "error", err)
		session.end(ErrClosed)
	}
}

func (m *Mount) postLongPoll(w http.ResponseWriter, r *http.Request) {
	peer, ok := m.resume(sessionToken(r))
	if !ok {
		writeStatus(w, http.StatusGone)
		return
	}
	frames, bodyErr := m.readFrames(w, r)
	if bodyErr != nil {
		m.engine.log.Info("POST refused", "mount", m.path, "error", bodyErr)
	}
	if bodyErr != nil && !errors.Is(bodyErr, errBase64) {
		status := http.StatusBadRequest
		if errors.Is(bodyErr, errBodyTooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		writeError(w, status)
		return
	}
	status, alive := peer.post(r.Context(), frames)
	switch {
	case !alive:
		writeStatus(w, http.StatusGone)
	case status == http.StatusOK && bodyErr != nil:
		crashLongPoll(w)
	default:
		writeStatus(w, status)
	}
}

// crashLongPoll answers HTTP 500. As in Phoenix, whose error page starts anew,
// without access-control-allow-origin: a page of another origin sees a failed
// request, and phoenix.js connects again.
func crashLongPoll(w http.ResponseWriter) {
	w.Header().Del("Access-Control-Allow-Origin")
	internalServerError(w)
}

// writeStatus answers with a status alone.
func writeStatus(w http.ResponseWriter, status int) {
	longPollHeaders(w)
	_, _ = fmt.Fprintf(w, `{"status":%d}`, status)
}

// writeError answers a request that is no polling at all, in the form of
// Phoenix's error pages.
func writeError(w http.ResponseWriter, status int) {
	longPollHeaders(w)
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errors":{"detail":%q}}`, http.StatusText(status))
}

// writeMessages answers a poll. It is an error when the answer is known not to
// have reached the client's connection.
func writeMessages(w http.ResponseWriter, status int, signed string, messages [][]byte) error {
	answer := struct {
		Messages []string `json:"messages"`
		Status   int      `json:"status"`
		Token    string   `json:"token"`
	}{Messages: make([]string, len(messages)), Status: status, Token: signed}
	for i, msg := range messages {
		answer.Messages[i] = string(msg)
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil {
		return fmt.Errorf("encode the answer to a poll: %w", err)
	}
	body.Truncate(body.Len() - 1) // the line break
	longPollHeaders(w)
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	if _, err := w.Write(body.Bytes()); err != nil {
		return fmt.Errorf("answer a poll: %w", err)
	}
	if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("answer a poll: %w", err)
	}
	return nil
}

func longPollHeaders(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	// With the token in a header all sessions poll the same URL.
	w.Header().Set("Cache-Control", "no-store")
}
