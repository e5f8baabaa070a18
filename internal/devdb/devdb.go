package devdb

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"
)

// ErrJoined is returned by the calls that only the owner of the server may make.
var ErrJoined = errors.New("another process owns this Postgres")

// DB is a running development Postgres that this process owns or has joined.
// Its methods may be called from any goroutine.
type DB struct {
	opts      Options
	places    places
	acct      account
	home      home
	socketDir string // with port, fixed by the first own or join
	port      int

	ctx    context.Context // ends when Stop begins
	cancel context.CancelFunc
	wg     sync.WaitGroup // watch, follow

	lifecycle sync.Mutex // one start, stop or restart at a time; guards the next three
	lock      *lockFile
	owner     bool // we hold the lock
	bin       binaries

	mu      sync.Mutex // guards the fields below, held for moments only
	srv     *server    // nil while stopped on purpose, or joined
	joined  bool
	err     error
	crashes []time.Time

	done chan struct{}
}

// Start starts the development Postgres, making it first if need be, or joins
// the one that another process runs on the same directory. It returns when the
// database accepts connections and Options.Database exists.
//
// ctx bounds the start only, which takes 15 minutes at most; a first start may
// include a download. The server
// runs until Stop, or until this process ends. Errors: ErrNoPostgres, with the
// ways out in its text; data of another major version; directories that the
// user who runs Postgres cannot reach.
func Start(ctx context.Context, o Options) (*DB, error) {
	return start(ctx, o, usualPlaces())
}

func start(ctx context.Context, o Options, where places) (*DB, error) {
	acct, err := postgresAccount()
	if err != nil {
		return nil, err
	}
	if o, err = o.withDefaults(); err != nil {
		return nil, err
	}
	h, err := openHome(o.DataDir, acct)
	if err != nil {
		return nil, err
	}
	lock, err := openLock(h.lock())
	if err != nil {
		return nil, err
	}
	db := &DB{opts: o, places: where, acct: acct, home: h, lock: lock, done: make(chan struct{})}
	db.ctx, db.cancel = context.WithCancel(context.Background())
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = db.ownOrJoin(ctx)
	if err == nil {
		err = db.ensureDatabase(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, db.Stop(context.WithoutCancel(ctx)))
	}
	if db.Joined() {
		db.wg.Go(db.follow)
	}
	return db, nil
}

// URL is the address of the database over the unix socket, for pgx and psql. It
// stays the same over restarts of the server and over a change of its owner.
func (db *DB) URL() string { return db.URLFor(db.opts.Database) }

// URLFor is URL with another database.
func (db *DB) URLFor(database string) string {
	return socketURL(db.socketDir, db.port, database)
}

func socketURL(dir string, port int, database string) string {
	query := url.Values{"host": {dir}, "port": {strconv.Itoa(port)}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + database, RawQuery: query.Encode()}).String()
}

// TCPURL is the address over 127.0.0.1. It is empty without Options.Port.
func (db *DB) TCPURL() string {
	if db.opts.Port == 0 {
		return ""
	}
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", db.opts.Port, url.PathEscape(db.opts.Database))
}

// Joined reports whether another process owns the server now. When the owner
// goes away, one of those who joined becomes the owner.
func (db *DB) Joined() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.joined
}

// Done is closed when Postgres has ended for good while it should run: it was
// restarted, or taken over, several times in vain. Err tells why.
func (db *DB) Done() <-chan struct{} { return db.done }

// Err is nil until Done is closed.
func (db *DB) Err() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.err
}

// PID is the process id of the postmaster, 0 while it is stopped.
func (db *DB) PID() int {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.srv != nil {
		return db.srv.pid
	}
	if db.joined {
		if got, err := readPostmasterPID(db.home.data()); err == nil {
			return got.pid
		}
	}
	return 0
}

// Restart stops Postgres and starts it again at the same address. The owner only.
func (db *DB) Restart(ctx context.Context) error {
	if err := db.StopServer(ctx, Fast); err != nil {
		return err
	}
	return db.StartServer(ctx)
}

// StopServer stops Postgres and keeps the rest, so that StartServer brings it
// back at the same address: for tests of an outage. Stopping a stopped server is
// no error. The owner only.
func (db *DB) StopServer(ctx context.Context, mode StopMode) error {
	db.lifecycle.Lock()
	defer db.lifecycle.Unlock()
	if db.Joined() {
		return fmt.Errorf("devdb: %w", ErrJoined)
	}
	return db.stopServer(ctx, mode)
}

// StartServer starts Postgres again after StopServer. Starting a running server
// is no error. The owner only.
func (db *DB) StartServer(ctx context.Context) error {
	db.lifecycle.Lock()
	defer db.lifecycle.Unlock()
	switch {
	case db.Joined():
		return fmt.Errorf("devdb: %w", ErrJoined)
	case db.ctx.Err() != nil:
		return errors.New("devdb: this database was stopped for good")
	case db.PID() != 0:
		return nil
	}
	return db.startServer(ctx)
}

// Stop stops the server if this process owns it, fast, then the hard way, at
// latest 20 seconds later, or 10 seconds after the end of ctx. It removes the
// socket directory; the data stays. A second call does nothing.
func (db *DB) Stop(ctx context.Context) error {
	db.cancel()
	err := db.release(ctx)
	db.wg.Wait()
	return err
}

func (db *DB) release(ctx context.Context) error {
	db.lifecycle.Lock()
	defer db.lifecycle.Unlock()
	if db.lock == nil {
		return nil
	}
	err := db.stopServer(ctx, Fast)
	if db.owner && db.socketDir != "" && err == nil {
		err = removeSocketDir(db.socketDir, db.acct)
		if wErr := db.lock.write(state{SocketDir: db.socketDir, Port: db.port}); err == nil {
			err = wErr
		}
	}
	err = errors.Join(err, db.lock.close())
	db.lock = nil
	return err
}

// Discard deletes the data directory for good: the data in it, and the socket
// directory that a killed owner left. It fails, with ErrJoined, while any
// process uses the directory, and on a directory that is not devdb's.
func Discard(ctx context.Context, dataDir string) error {
	acct, err := postgresAccount()
	if err != nil {
		return err
	}
	if _, err := os.Stat(home(dataDir).lock()); err != nil {
		return fmt.Errorf("devdb: %s holds no development database: %w", dataDir, err)
	}
	o, err := Options{DataDir: dataDir}.withDefaults()
	if err != nil {
		return err
	}
	h, err := openHome(o.DataDir, acct)
	if err != nil {
		return err
	}
	lock, err := openLock(h.lock())
	if err != nil {
		return err
	}
	db := &DB{opts: o, acct: acct, home: h}
	return errors.Join(db.discard(ctx, lock), lock.close())
}

func (db *DB) discard(ctx context.Context, lock *lockFile) error {
	if got, err := lock.try(); err != nil {
		return err
	} else if !got {
		return fmt.Errorf("devdb: %s: %w", db.home, ErrJoined)
	}
	if err := db.clearOldServer(ctx); err != nil {
		return err
	}
	if last, err := lock.read(); err == nil && last.SocketDir != "" {
		if err := removeSocketDir(last.SocketDir, db.acct); err != nil {
			return err
		}
	}
	for _, path := range []string{db.home.data(), db.home.half(), db.home.log(), db.home.lock()} {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("devdb: %w", err)
		}
	}
	// Whatever else somebody put there stays, and says so.
	if err := os.Remove(string(db.home)); err != nil {
		return fmt.Errorf("devdb: %w", err)
	}
	return nil
}
