package golden

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	dialTimeout    = 5 * time.Second
	requestTimeout = 20 * time.Second // twice the longest poll window of the fixture
	maxBody        = 16 << 20         // bytes
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

func dialTCP(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	return dialer.DialContext(ctx, network, address)
}

// exchange is one HTTP/1.1 request over a connection of its own. The caller
// closes conn, which stays open after an upgrade.
type exchange struct {
	conn     net.Conn
	reader   *bufio.Reader
	response *http.Response
	body     []byte
	took     time.Duration
}

// roundTrip writes the request byte by byte as the recorder did (header names
// in lower case) and reads the whole answer.
func roundTrip(ctx context.Context, dial dialFunc, base, method, path string, headers map[string]string, body string) (_ *exchange, err error) {
	address, err := hostPort(base)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	if err := conn.SetDeadline(started.Add(requestTimeout)); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}

	var request strings.Builder
	fmt.Fprintf(&request, "%s %s HTTP/1.1\r\nhost: %s\r\n", method, path, address)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		fmt.Fprintf(&request, "%s: %s\r\n", name, headers[name])
	}
	request.WriteString("\r\n" + body)
	if _, err := io.WriteString(conn, request.String()); err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}

	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, &http.Request{Method: method})
	if err != nil {
		return nil, fmt.Errorf("read response: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	var content []byte
	if response.StatusCode != http.StatusSwitchingProtocols {
		if content, err = io.ReadAll(io.LimitReader(response.Body, maxBody)); err != nil {
			return nil, fmt.Errorf("read response body: %w", err)
		}
	}
	_ = conn.SetDeadline(time.Time{}) // fails only if the server has closed already
	return &exchange{conn: conn, reader: reader, response: response, body: content, took: time.Since(started)}, nil
}

func hostPort(base string) (string, error) {
	parsed, err := url.Parse(base)
	if err != nil {
		return "", fmt.Errorf("base URL: %w", err)
	}
	if parsed.Scheme != "http" || parsed.Hostname() == "" {
		return "", fmt.Errorf("base URL %q: expected http://host:port", base)
	}
	port := parsed.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(parsed.Hostname(), port), nil
}

// plainHeaders are those of a request that is no handshake, under the step's own.
func plainHeaders(own map[string]string, body string) map[string]string {
	headers := map[string]string{"connection": "close", "content-length": strconv.Itoa(len(body))}
	maps.Copy(headers, own)
	return headers
}

// acceptKey is the Sec-WebSocket-Accept that answers key (RFC 6455, 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func checkAccept(response *http.Response, key string) error {
	if got, want := response.Header.Get("Sec-WebSocket-Accept"), acceptKey(key); got != want {
		return fmt.Errorf("sec-websocket-accept: expected %q, got %q", want, got)
	}
	return nil
}
