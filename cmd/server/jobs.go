package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/riverqueue/river/rivertype"

	"github.com/trunkline/trunkline"
)

type jobsCommand struct {
	List   jobsListCommand   `cmd:"" help:"List jobs, the newest first."`
	Retry  jobsRetryCommand  `cmd:"" help:"Make jobs available at once, such as discarded ones. A client that was answered is not answered again."`
	Cancel jobsCancelCommand `cmd:"" help:"Cancel jobs; one that runs is told to end. A client that waits is answered with an error, within some 10 s where the job did not run."`
}

type jobsListCommand struct {
	databaseSettings
	State []rivertype.JobState `help:"Only jobs in these states: available, scheduled, running, retryable, completed, cancelled, discarded, pending."`
	Queue []string             `help:"Only jobs of these queues."`
	Kind  []string             `help:"Only jobs of these kinds."`
	Limit int                  `default:"50" help:"At most so many, 10000 at most."`
	Args  bool                 `help:"Print the jobs' arguments, which may be private."`
	JSON  bool                 `help:"Print a JSON object for each job, on a line of its own."`
}

type jobIDs struct {
	databaseSettings
	IDs []int64 `arg:"" name:"id" help:"Ids of jobs."`
}

type (
	jobsRetryCommand  struct{ jobIDs }
	jobsCancelCommand struct{ jobIDs }
)

const jobsTimeout = 30 * time.Second

// administer runs f with the jobs of the installation.
func (d databaseSettings) administer(ctx context.Context, f func(context.Context, *trunkline.JobsAdmin) error) error {
	url, err := d.directURL()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, jobsTimeout)
	defer cancel()
	admin, err := trunkline.DialJobs(ctx, trunkline.Config{DatabaseDirectURL: url, Schema: d.Schema})
	if err != nil {
		return err
	}
	defer admin.Close()
	return f(ctx, admin)
}

// Run prints a table, or JSON.
func (c *jobsListCommand) Run(ctx context.Context) error {
	if c.Limit < 1 { // 0 is the default of the API
		return fmt.Errorf("limit %d: want at least 1", c.Limit)
	}
	return c.administer(ctx, func(ctx context.Context, admin *trunkline.JobsAdmin) error {
		jobs, err := admin.List(ctx, trunkline.JobsFilter{States: c.State, Queues: c.Queue, Kinds: c.Kind, Limit: c.Limit})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJobsJSON(os.Stdout, jobs, c.Args)
		}
		return printJobs(os.Stdout, jobs, c.Args)
	})
}

// Run retries all that it can.
func (c *jobsRetryCommand) Run(ctx context.Context) error {
	return c.each(ctx, (*trunkline.JobsAdmin).Retry)
}

// Run cancels all that it can.
func (c *jobsCancelCommand) Run(ctx context.Context) error {
	return c.each(ctx, (*trunkline.JobsAdmin).Cancel)
}

// each goes on after an error, and returns all of them.
func (c jobIDs) each(ctx context.Context, change func(*trunkline.JobsAdmin, context.Context, int64) (*rivertype.JobRow, error)) error {
	return c.administer(ctx, func(ctx context.Context, admin *trunkline.JobsAdmin) error {
		var failed []error
		for _, id := range c.IDs {
			job, err := change(admin, ctx, id)
			switch {
			case err != nil:
				failed = append(failed, err)
			case job.State == rivertype.JobStateRunning: // of a job that was cancelled
				fmt.Printf("job %d: running, told to end\n", id)
			default:
				fmt.Printf("job %d: %s\n", id, job.State)
			}
		}
		return errors.Join(failed...)
	})
}

const (
	lastErrorWidth = 80
	jobArgsWidth   = 200
)

func printJobs(out io.Writer, jobs []*rivertype.JobRow, args bool) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	header := []string{"ID", "KIND", "QUEUE", "STATE", "ATTEMPT", "CREATED", "SCHEDULED", "LAST ERROR"}
	if args {
		header = append(header, "ARGS")
	}
	fmt.Fprintln(w, strings.Join(header, "\t"))
	for _, job := range jobs {
		last := ""
		if n := len(job.Errors); n > 0 {
			last = job.Errors[n-1].Error
		}
		row := []string{
			fmt.Sprint(job.ID), line(job.Kind, lastErrorWidth), line(job.Queue, lastErrorWidth), string(job.State),
			fmt.Sprintf("%d/%d", job.Attempt, job.MaxAttempts),
			job.CreatedAt.UTC().Format(time.RFC3339), job.ScheduledAt.UTC().Format(time.RFC3339), line(last, lastErrorWidth),
		}
		if args {
			row = append(row, line(string(job.EncodedArgs), jobArgsWidth))
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// line makes one line of a text from elsewhere, without what a terminal would
// obey.
func line(text string, width int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return text
}

// jobLine is a job as `jobs list --json` prints it.
type jobLine struct {
	ID          int64           `json:"id"`
	Kind        string          `json:"kind"`
	Queue       string          `json:"queue"`
	State       string          `json:"state"`
	Priority    int             `json:"priority"`
	Attempt     int             `json:"attempt"`
	MaxAttempts int             `json:"max_attempts"`
	CreatedAt   time.Time       `json:"created_at"`
	ScheduledAt time.Time       `json:"scheduled_at"`
	AttemptedAt *time.Time      `json:"attempted_at"`
	AttemptedBy []string        `json:"attempted_by"`
	FinalizedAt *time.Time      `json:"finalized_at"`
	Errors      []jobError      `json:"errors"`
	Args        json.RawMessage `json:"args,omitempty"`
}

type jobError struct {
	At      time.Time `json:"at"`
	Attempt int       `json:"attempt"`
	Error   string    `json:"error"`
}

func printJobsJSON(out io.Writer, jobs []*rivertype.JobRow, args bool) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for _, job := range jobs {
		l := jobLine{
			ID: job.ID, Kind: job.Kind, Queue: job.Queue, State: string(job.State), Priority: job.Priority,
			Attempt: job.Attempt, MaxAttempts: job.MaxAttempts, CreatedAt: job.CreatedAt, ScheduledAt: job.ScheduledAt,
			AttemptedAt: job.AttemptedAt, AttemptedBy: job.AttemptedBy, FinalizedAt: job.FinalizedAt, Errors: []jobError{},
		}
		for _, e := range job.Errors {
			l.Errors = append(l.Errors, jobError{At: e.At, Attempt: e.Attempt, Error: e.Error})
		}
		if args {
			l.Args = job.EncodedArgs
		}
		if err := encoder.Encode(l); err != nil {
			return fmt.Errorf("printing job %d: %w", job.ID, err)
		}
	}
	return nil
}
