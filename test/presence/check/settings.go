package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

const (
	// shortHole and longHole are how long a node is cut off from Postgres, the
	// long one in runs of at least longRun.
	shortHole = 12 * time.Second
	longHole  = 30 * time.Second
	longRun   = 2 * time.Minute
	// smallTopic is how many members each small topic has.
	smallTopic = 5
)

// settings are the command line.
type settings struct {
	duration  time.Duration
	storm     time.Duration
	nodes     int
	members   int
	tabs      int
	observers int
	phoenix   int
	patients  int
	phases    []string
	js        string
	logs      string
}

func parseSettings(arguments []string, out io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.DurationVar(&s.duration, "duration", 3*time.Minute, "how long to break things; each is broken once at least")
	flags.DurationVar(&s.storm, "storm", 10*time.Second, "how long it takes all members to join the big topic")
	flags.IntVar(&s.nodes, "nodes", 3, "server processes")
	flags.IntVar(&s.members, "members", 5000, "users, each in the big topic and in one of 5 users")
	flags.IntVar(&s.tabs, "tabs", 100, "users who are there twice")
	flags.IntVar(&s.observers, "observers", 10, "observers of each node in this process")
	flags.IntVar(&s.phoenix, "phoenix", 2, "observers of each node with phoenix.js")
	flags.IntVar(&s.patients, "patients", 300, "users in topics with a grace period, of the phase rolling")
	phases := flags.String("phases", strings.Join(phaseNames(), ","), "what to do, of these; all but rolling and storm are repeated")
	flags.StringVar(&s.js, "js", "test/js", "directory with node_modules and harness")
	flags.StringVar(&s.logs, "logs", "", "directory for the servers' logs; default: one that is deleted after a good run")
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	s.phases = strings.Split(*phases, ",")
	return s, s.check()
}

func (s settings) check() error {
	for _, c := range []struct {
		name         string
		value, least int
	}{
		{"nodes", s.nodes, 3}, // one can be away and two still differ
		{"members", s.members, smallTopic},
		{"tabs", s.tabs, 0},
		{"observers", s.observers, 1},
		{"phoenix", s.phoenix, 1},
		{"patients", s.patients, 4 * leavers * s.nodes},
		{"duration in seconds", int(s.duration.Seconds()), 1},
		{"storm in seconds", int(s.storm.Seconds()), 1},
	} {
		if c.value < c.least {
			return fmt.Errorf("-%s is %d, must be at least %d", c.name, c.value, c.least)
		}
	}
	if s.tabs > s.members {
		return fmt.Errorf("-tabs is %d, more than the %d members", s.tabs, s.members)
	}
	for _, name := range s.phases {
		if !slices.Contains(phaseNames(), name) {
			return fmt.Errorf("-phases: %q is none of %s", name, strings.Join(phaseNames(), ", "))
		}
	}
	return nil
}

// hole is how long a node is cut off from Postgres.
func (s settings) hole() time.Duration {
	if s.duration >= longRun {
		return longHole
	}
	return shortHole
}

const bigTopic = "crowd:big"

// smallOf is the small topic of a member.
func smallOf(number int) string { return fmt.Sprintf("crowd:small-%04d", number/smallTopic) }

// smallTopics are all of them.
func (s settings) smallTopics() []string {
	var topics []string
	for number := 0; number < s.members; number += smallTopic {
		topics = append(topics, smallOf(number))
	}
	return topics
}

// A watch is who watches what.
type watch struct {
	name  string   // of the log of phoenix.js
	big   string   // the topic that all watch
	small []string // those that they share
	keys  bool     // whether they report which keys come and go
	// observers and phoenix are how many each node has.
	observers, phoenix int
}

// watch is that of the crowd.
func (s settings) watch() watch {
	return watch{name: "phoenix", big: bigTopic, small: s.smallTopics(), observers: s.observers, phoenix: s.phoenix}
}

// watched are the topics of the nth of n observers of a node: the big one, and
// its share of the small ones, at most so many.
func (w watch) watched(nth, n, most int) []string {
	small := w.small
	topics := []string{w.big}
	for i := nth; i < len(small) && len(topics) <= most; i += n {
		topics = append(topics, small[i])
	}
	return topics
}
