package jobs

import (
	"context"
	"log/slog"
)

// riverLogger leaves out what River tells of each start and stop.
func riverLogger(log *slog.Logger) *slog.Logger {
	return slog.New(quieter{log.Handler()}).With("component", "river")
}

type quieter struct{ slog.Handler }

func (q quieter) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}

func (q quieter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quieter{q.Handler.WithAttrs(attrs)}
}
func (q quieter) WithGroup(name string) slog.Handler { return quieter{q.Handler.WithGroup(name)} }
