// Command server is Trunkline as one program: it serves sockets, migrates the
// schema, signs tokens and broadcasts from the command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trunkline/trunkline/internal/heapfloor"
)

// program is the command line; `trunkline --help` prints it.
type program struct {
	Serve       serveCommand       `cmd:"" help:"Serve sockets from the Postgres at DATABASE_URL."`
	Dev         devCommand         `cmd:"" help:"Serve the demo, with an embedded Postgres unless DATABASE_URL is set."`
	Migrate     migrateCommand     `cmd:"" help:"Create, update or undo the database schema."`
	Token       tokenCommand       `cmd:"" help:"Sign or verify Phoenix tokens."`
	Broadcast   broadcastCommand   `cmd:"" help:"Broadcast an event to all subscribers of a topic."`
	Publish     publishCommand     `cmd:"" help:"Store a message on a durable topic and deliver it."`
	Disconnect  disconnectCommand  `cmd:"" help:"Close all connections with a socket id."`
	Jobs        jobsCommand        `cmd:"" help:"List, retry or cancel background jobs."`
	Healthcheck healthcheckCommand `cmd:"" help:"Exit 0 when the local server is ready (for containers without curl)."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends a stop that takes too long
	heapfloor.Keep()
	var p program
	k := kong.Parse(&p,
		kong.Name("trunkline"),
		kong.Description("Realtime channels for applications that run Postgres."),
		kong.ShortUsageOnError(),
		kong.Vars{"salt": tokenSalt},
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "trunkline:", err)
		var unreachable *pgconn.ConnectError
		if errors.As(err, &unreachable) {
			fmt.Fprintln(os.Stderr, "Check DATABASE_URL, and DATABASE_DIRECT_URL where it is set: does Postgres run there, reachable from here?")
		}
		os.Exit(1)
	}
}
