package devdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	startTimeout = 15 * time.Minute
	followEvery  = 200 * time.Millisecond
	tellAfter    = 2 * time.Second
	defaultPort  = 5432 // names the socket file only, unless Options.Port is set

	// A server that ends more often than this within the window stays down.
	maxCrashes  = 6
	crashWindow = time.Minute
)

// ownOrJoin becomes the owner when nobody is, else waits until the owner's
// server accepts connections. The owner may be busy making the database, or it
// may give up: then it is our turn.
func (db *DB) ownOrJoin(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	waiting := time.NewTimer(tellAfter)
	defer waiting.Stop()
	for {
		got, err := db.lock.try()
		if err != nil {
			return err
		}
		if got {
			return db.own(ctx)
		}
		if joined, err := db.join(ctx); joined || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("devdb: another process holds %s but its Postgres does not answer: %w", db.home.lock(), context.Cause(ctx))
		case <-waiting.C:
			fmt.Fprintf(db.opts.Output, "Waiting for another process that is starting the database in %s.\n", db.home)
		case <-tick.C:
		}
	}
}

// own brings the server up, after the lock was taken.
func (db *DB) own(ctx context.Context) error {
	started := time.Now()
	db.owner = true
	last, err := db.lock.read()
	if err != nil {
		last = state{} // new, or an owner was killed while writing
	}
	// From here on nobody takes the last owner's server for ours.
	if err := db.lock.write(state{Owner: os.Getpid(), SocketDir: last.SocketDir, Port: last.Port}); err != nil {
		return err
	}
	if err := db.clearOldServer(ctx); err != nil {
		return err
	}
	if db.bin, err = db.binaries(ctx); err != nil {
		return err
	}
	if err := db.initData(ctx, db.bin); err != nil {
		return err
	}
	if err := db.openAddress(last); err != nil {
		return err
	}
	if err := db.startServer(ctx); err != nil {
		return err
	}
	if err := db.lock.write(state{Owner: os.Getpid(), Ready: true, SocketDir: db.socketDir, Port: db.port}); err != nil {
		return err
	}
	fmt.Fprintf(db.opts.Output, "Postgres %s is ready, data in %s (%.1f s).\n", db.bin.version, db.home, time.Since(started).Seconds())
	db.opts.Logger.Info("started Postgres", "version", db.bin.version, "bin", db.bin.dir, "data", db.home.data(), "socket", db.socketDir, "pid", db.PID())
	return nil
}

// openAddress makes the place of the socket. After a take-over it is the one
// that this process has given away in its URL; else the last owner's, which
// those who joined it know; else a fresh one.
func (db *DB) openAddress(last state) (err error) {
	if db.socketDir != "" {
		return remakeSocketDir(db.socketDir, db.acct)
	}
	if db.socketDir, err = openSocketDir(last.SocketDir, db.acct); err != nil {
		return err
	}
	switch {
	case db.opts.Port != 0:
		db.port = db.opts.Port
	case last.Port != 0:
		db.port = last.Port
	default:
		db.port = defaultPort
	}
	return nil
}

// join uses the owner's server if it is up.
func (db *DB) join(ctx context.Context) (bool, error) {
	at, err := db.lock.read()
	if err != nil || !at.Ready || !alive(at.Owner) {
		return false, nil
	}
	conn, err := connect(ctx, socketURL(at.SocketDir, at.Port, "postgres"))
	if err != nil {
		return false, nil
	}
	_ = conn.Close(ctx) // it has answered
	if db.opts.Port != 0 && db.opts.Port != at.Port {
		return false, fmt.Errorf("devdb: process %d runs this Postgres without port %d: stop it or leave the port away", at.Owner, db.opts.Port)
	}
	db.socketDir, db.port = at.SocketDir, at.Port
	db.mu.Lock()
	db.joined = true
	db.mu.Unlock()
	fmt.Fprintf(db.opts.Output, "Using the Postgres that process %d runs in %s.\n", at.Owner, db.home)
	return true, nil
}

// follow waits for the owner to go away and takes its place, at the same
// address, so that the connections of this process heal.
func (db *DB) follow() {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-db.ctx.Done():
			return
		case <-tick.C:
		}
		if db.takeOver() {
			return
		}
	}
}

// takeOver reports whether there is no more owner to follow.
func (db *DB) takeOver() bool {
	db.lifecycle.Lock()
	defer db.lifecycle.Unlock()
	if db.lock == nil { // stopped meanwhile
		return true
	}
	got, err := db.lock.try()
	if err == nil && !got {
		return false
	}
	if err == nil {
		db.mu.Lock()
		db.joined = false
		db.mu.Unlock()
		db.opts.Logger.Warn("the owner of Postgres is gone: taking over", "data", db.home.data())
		err = db.own(db.ctx)
	}
	if err != nil && db.ctx.Err() == nil {
		db.fail(err)
	}
	return true
}

// startServer launches Postgres and watches it.
func (db *DB) startServer(ctx context.Context) error {
	srv, err := db.launch(ctx)
	if err != nil {
		return err
	}
	db.mu.Lock()
	db.srv = srv
	db.mu.Unlock()
	db.wg.Go(func() { db.watch(srv) })
	return nil
}

// stopServer stops Postgres on purpose: watch then lets it rest.
func (db *DB) stopServer(ctx context.Context, mode StopMode) error {
	db.mu.Lock()
	srv := db.srv
	db.srv = nil
	db.mu.Unlock()
	if srv == nil {
		return nil
	}
	return srv.stop(ctx, mode)
}

// watch waits for the end of one run of Postgres and starts the next when
// nobody has stopped it.
func (db *DB) watch(srv *server) {
	<-srv.exited
	db.lifecycle.Lock()
	defer db.lifecycle.Unlock()
	db.mu.Lock()
	crashed := db.srv == srv
	if crashed {
		db.srv = nil
	}
	db.mu.Unlock()
	if !crashed || db.ctx.Err() != nil {
		return
	}
	db.opts.Logger.Warn("Postgres ended unexpectedly: starting it again", "pid", srv.pid, "error", srv.howEnded())
	err := fmt.Errorf("devdb: Postgres ended: %w\n%s", srv.howEnded(), srv.log.tail())
	for wait := 50 * time.Millisecond; db.mayRestart(); wait = min(2*wait, 2*time.Second) {
		if err = db.clearOldServer(db.ctx); err == nil {
			err = db.startServer(db.ctx)
		}
		if err == nil {
			db.opts.Logger.Info("Postgres runs again", "pid", db.PID())
			return
		}
		// Processes of the killed server may hold its shared memory for a moment.
		db.opts.Logger.Warn("Postgres does not start", "error", err, "retry_in", wait)
		pause := time.NewTimer(wait)
		select {
		case <-db.ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
	db.fail(fmt.Errorf("devdb: Postgres ended %d times within %v, so it stays down: %w", maxCrashes, crashWindow, err))
}

// mayRestart counts a crash and reports whether there were few enough of late.
func (db *DB) mayRestart() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	now := time.Now()
	for len(db.crashes) > 0 && now.Sub(db.crashes[0]) > crashWindow {
		db.crashes = db.crashes[1:]
	}
	db.crashes = append(db.crashes, now)
	return len(db.crashes) <= maxCrashes
}

// fail tells Done and Err that Postgres is gone for good.
func (db *DB) fail(err error) {
	db.opts.Logger.Error("Postgres is gone", "error", err)
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.err == nil {
		db.err = err
		close(db.done)
	}
}

func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("devdb: %w", err)
	}
	return conn, nil
}

// ensureDatabase creates Options.Database when it is missing.
func (db *DB) ensureDatabase(ctx context.Context) (err error) {
	conn, err := connect(ctx, db.URLFor("postgres"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, db.opts.Database).Scan(&exists); err != nil {
		return fmt.Errorf("devdb: %w", err)
	}
	if exists {
		return nil
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{db.opts.Database}.Sanitize())
	// Two starters may both find it missing: duplicate_database, or
	// unique_violation when they are very close.
	if pgErr := (*pgconn.PgError)(nil); errors.As(err, &pgErr) && (pgErr.Code == "42P04" || pgErr.Code == "23505") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("devdb: create database %s: %w", db.opts.Database, err)
	}
	return nil
}
