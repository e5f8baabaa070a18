package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline"
)

// lobby shows who is there. Clients choose their key when they join.
type lobby struct{ key string }

// mountLobby serves the topics lobby:*, each of whose departures is a job.
func mountLobby(srv *trunkline.Server, grace time.Duration) {
	srv.Channel("lobby:*", func() trunkline.Channel { return &lobby{} })
	srv.Presence("lobby:*", trunkline.PresenceOptions{
		Grace: grace,
		Left: func(left trunkline.PresenceLeft) river.JobArgs {
			return departureArgs{left}
		},
	})
}

// Join wants {"key": ...}.
func (l *lobby) Join(_ context.Context, s *trunkline.Socket, params trunkline.Payload) (any, error) {
	var p struct{ Key string }
	if err := params.Decode(&p); err != nil || p.Key == "" {
		return nil, trunkline.Reject(object{"reason": "want a key"})
	}
	l.key = p.Key
	return nil, s.Send("track")
}

// HandleInfo shows the client, once it has joined.
func (l *lobby) HandleInfo(_ context.Context, s *trunkline.Socket, _ any) error {
	if _, err := s.Track(l.key, object{}); err != nil {
		return err
	}
	return s.Push("tracked", object{})
}

// departureArgs is the job of a departure.
type departureArgs struct{ trunkline.PresenceLeft }

// Kind of the job.
func (departureArgs) Kind() string { return "departure" }

type departureWorker struct {
	river.WorkerDefaults[departureArgs]
	db *pgxpool.Pool
}

// Work counts the departure once, however often the job is tried.
func (w *departureWorker) Work(ctx context.Context, job *river.Job[departureArgs]) error {
	_, err := w.db.Exec(ctx, "insert into departures (job_id, topic, key) values ($1, $2, $3) on conflict (job_id) do nothing",
		job.ID, job.Args.Topic, job.Args.Key)
	return err
}
