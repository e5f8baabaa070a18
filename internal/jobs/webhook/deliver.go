package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	// maxDrain is how much of an answer is read, so that its connection can be
	// used again; of an error maxExcerpt is kept.
	maxDrain   = 64 << 10
	maxExcerpt = 512

	// maxRetryAfter bounds how long a receiver may put off the next attempt.
	maxRetryAfter = 24 * time.Hour
)

// statusError is an answer that is no success.
type statusError struct {
	code       int
	retryAfter time.Duration
	excerpt    string // of the body
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("the endpoint answered %d %s", e.code, http.StatusText(e.code))
	if e.code >= 300 && e.code < 400 {
		text += ", redirects are not followed"
	}
	if e.excerpt != "" {
		text += ": " + e.excerpt
	}
	return text
}

// encodeBody is the same for every attempt.
func encodeBody(a Args) ([]byte, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		Type      string          `json:"type"`
		Timestamp time.Time       `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{a.Type, a.CreatedAt.UTC(), a.Payload})
	return bytes.TrimSuffix(body.Bytes(), []byte("\n")), err
}

// post makes one attempt. Its error is a *statusError where there was an
// answer, and wraps an *AddressError where the address was refused.
func (e *endpoint) post(ctx context.Context, id string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return withoutURL(err)
	}
	now := time.Now()
	var signatures []string
	for _, signer := range e.signers {
		signature, err := signer.Sign(id, now, body)
		if err != nil {
			return fmt.Errorf("signing: %w", err)
		}
		signatures = append(signatures, signature)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Trunkline")
	req.Header.Set(standardwebhooks.HeaderWebhookID, id)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	resp, err := e.client.Do(req)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("no answer within %v: %w", e.timeout, withoutURL(err))
	case err != nil:
		return withoutURL(err)
	}
	defer resp.Body.Close()
	return readAnswer(resp)
}

// readAnswer judges by the status alone: whatever becomes of the body, it has
// been given.
func readAnswer(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
		return nil
	}
	start, _ := io.ReadAll(io.LimitReader(resp.Body, maxExcerpt))
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrain-maxExcerpt)
	return &statusError{
		code:       resp.StatusCode,
		retryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
		excerpt:    printable(start),
	}
}

// retryAfter reads seconds or a date, 0 for none.
func retryAfter(header string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseUint(header, 10, 63); err == nil {
		wait = time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	} else if date, err := http.ParseTime(header); err == nil {
		wait = date.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// printable is for a column of JSON, which takes no NUL, and for terminals.
func printable(body []byte) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(string(body), " ")))
}

// withoutURL leaves out what http.Client's errors quote: a URL may hold a token.
func withoutURL(err error) error {
	var quoting *url.Error
	if errors.As(err, &quoting) {
		return quoting.Err
	}
	return err
}
