// Command compose chats through two nodes of one cluster, as two users whose
// browsers reached different nodes: scripts/compose-check runs it against the
// stack of docker-compose.yml.
//
//	go run ./test/compose -a URL -b URL [-- COMMAND ARGS...]
//
// COMMAND is to broadcast the event announcement to room:lobby; both users must
// see it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

const (
	readyTimeout = 2 * time.Minute
	totalTimeout = 5 * time.Minute
)

func main() {
	a := flag.String("a", "http://127.0.0.1:4000", "URL of one node")
	b := flag.String("b", "http://127.0.0.1:4001", "URL of the other")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, totalTimeout)
	defer cancel()
	if err := chat(ctx, *a, *b, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "compose:", err)
		os.Exit(1)
	}
}

func chat(ctx context.Context, a, b string, announce []string) error {
	for _, url := range []string{a, b} {
		if err := awaitReady(ctx, url); err != nil {
			return err
		}
	}
	ana, err := join(ctx, a, "ana")
	if err != nil {
		return err
	}
	defer ana.close()
	ben, err := join(ctx, b, "ben")
	if err != nil {
		return err
	}
	defer ben.close()

	for _, pair := range [][2]*user{{ana, ben}, {ben, ana}} {
		from, to := pair[0], pair[1]
		body := "hello from " + from.name
		sent := time.Now()
		if err := from.say(ctx, body); err != nil {
			return err
		}
		for _, u := range []*user{to, from} {
			if err := u.hear(ctx, "new_msg", body); err != nil {
				return err
			}
		}
		fmt.Printf("%s -> %s: %q, %v\n", from.name, to.name, body, time.Since(sent).Round(time.Millisecond))
	}
	if len(announce) == 0 {
		return nil
	}
	cmd := exec.CommandContext(ctx, announce[0], announce[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%v: %w", announce, err)
	}
	for _, u := range []*user{ana, ben} {
		if err := u.hear(ctx, "announcement", ""); err != nil {
			return err
		}
	}
	fmt.Println("both heard the announcement")
	return nil
}

// awaitReady asks until the node says that it is ready.
func awaitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := get(ctx, url+"/readyz")
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %v: %w", url, readyTimeout, err)
		}
	}
}

// token is what the demo's page asks for.
func token(ctx context.Context, url, name string) (string, error) {
	body, err := get(ctx, url+"/demo/token?user="+name)
	if err != nil {
		return "", err
	}
	var answer struct{ Token string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", fmt.Errorf("/demo/token: %w", err)
	}
	if answer.Token == "" {
		return "", errors.New("/demo/token: no token")
	}
	return answer.Token, nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s: %.200s", url, resp.Status, body)
	}
	return body, nil
}
