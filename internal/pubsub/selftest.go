package pubsub

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// selfTestTimeout is how long a notification may take to come back.
const selfTestTimeout = 2 * time.Second

// SelfTest proves that the direct URL delivers notifications: it listens on a
// random channel over one connection, notifies over another, and waits up to
// 2 s. It fails with [ErrListenDead] when nothing arrives, which is what a
// transaction pooler does after it has accepted LISTEN.
func SelfTest(ctx context.Context, directURL string) error {
	c, err := newConnector(directURL, "trunkline self-test", selfTestTimeout)
	if err != nil {
		return err
	}
	listener, err := c.connect(ctx, "")
	if err != nil {
		return err
	}
	defer listener.close()
	notifier, err := c.connect(ctx, "")
	if err != nil {
		return err
	}
	defer notifier.close()
	return selfTest(ctx, listener, notifier)
}

func selfTest(ctx context.Context, listener, notifier *connection) error {
	channel := "trunkline.selftest." + strings.ToLower(rand.Text())
	name := pgx.Identifier{channel}.Sanitize()
	ctx, cancel := context.WithTimeout(ctx, selfTestTimeout)
	defer cancel()
	if _, err := listener.Exec(ctx, "listen "+name); err != nil {
		return fmt.Errorf("listening on a test channel: %w", err)
	}
	if _, err := notifier.Exec(ctx, "notify "+name); err != nil {
		return fmt.Errorf("notifying a test channel: %w", err)
	}
	for {
		notification, err := listener.WaitForNotification(ctx)
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return fmt.Errorf("%w: a notification did not come back within %v. "+
				"The URL probably leads through a transaction pooler such as PgBouncer, which accepts LISTEN and delivers nothing. "+
				"Set DATABASE_DIRECT_URL to an address of Postgres itself", ErrListenDead, selfTestTimeout)
		case err != nil:
			return fmt.Errorf("waiting for a test notification: %w", err)
		case notification.Channel == channel:
			if _, err := listener.Exec(ctx, "unlisten "+name); err != nil {
				return fmt.Errorf("leaving the test channel: %w", err)
			}
			return nil
		}
	}
}
