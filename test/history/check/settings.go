package main

import (
	"flag"
	"fmt"
	"io"
	"time"
)

// settings are the command line.
type settings struct {
	duration    time.Duration
	faultEvery  time.Duration
	settle      time.Duration
	nodes       int
	topics      int
	publishers  int
	subscribers int
	rate        int
	race        bool
	logs        string
}

func parseSettings(arguments []string, out io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.DurationVar(&s.duration, "duration", 10*time.Minute, "how long to publish and to break things")
	flags.DurationVar(&s.faultEvery, "fault-every", 10*time.Second, "time between the beginnings of two faults")
	flags.DurationVar(&s.settle, "settle", time.Minute, "how long everything may take to arrive after the last fault")
	flags.IntVar(&s.nodes, "nodes", 3, "server processes")
	flags.IntVar(&s.topics, "topics", 200, "durable topics")
	flags.IntVar(&s.publishers, "publishers", 50, "publishers of all kinds")
	flags.IntVar(&s.subscribers, "subscribers", 300, "subscribed clients, each of several topics")
	flags.IntVar(&s.rate, "rate", 200, "messages to publish a second, by all together")
	flags.BoolVar(&s.race, "race", false, "build the servers with the race detector")
	flags.StringVar(&s.logs, "logs", "", "directory for the servers' logs; default: one that is deleted after a good run")
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	return s, s.check()
}

func (s settings) check() error {
	for _, c := range []struct {
		name         string
		value, least int
	}{
		{"nodes", s.nodes, 2},
		{"topics", s.topics, 2},
		{"publishers", s.publishers, 5}, // at least one of each kind
		{"subscribers", s.subscribers, 1},
		{"rate", s.rate, 1},
		{"duration in seconds", int(s.duration.Seconds()), 1},
		{"fault-every in seconds", int(s.faultEvery.Seconds()), 1},
		{"settle in seconds", int(s.settle.Seconds()), 1},
	} {
		if c.value < c.least {
			return fmt.Errorf("-%s is %d, must be at least %d", c.name, c.value, c.least)
		}
	}
	return nil
}

// topicNames are the topics. The first is the busiest.
func (s settings) topicNames() []string {
	names := make([]string, s.topics)
	for i := range names {
		names[i] = fmt.Sprintf("room:history-%03d", i)
	}
	return names
}
