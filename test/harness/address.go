package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// readyEvery is the time between two looks at /readyz.
const readyEvery = 5 * time.Millisecond

// FreeAddress is a host:port of this machine that is free now.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// AddressTaken is whether a server that has ended says so in its output:
// somebody else took the address first.
func AddressTaken(output string) bool { return strings.Contains(output, "address already in use") }

// AwaitReady waits until /readyz of the server at the address answers 200, the
// process ends or ctx does.
func AwaitReady(ctx context.Context, p *Process, address string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	answer := errors.New("no answer")
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
			err = fmt.Errorf("/readyz answers %s", response.Status)
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		if ctx.Err() == nil {
			answer = err
		}
		select {
		case <-p.exited:
			return fmt.Errorf("ended while starting: %w", p.err)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", answer)
		case <-tick.C:
		}
	}
}
