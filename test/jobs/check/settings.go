package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// longRun is the duration from which the phases that can take longer do so.
const longRun = 3 * time.Minute

// typicalRound is how long a round of the phases that measure nothing takes.
const typicalRound = 45 * time.Second

// settings are the command line.
type settings struct {
	duration time.Duration
	phases   []string
	race     bool
	js       string
	logs     string
}

func parseSettings(arguments []string, out io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.DurationVar(&s.duration, "duration", time.Minute,
		fmt.Sprintf("how long to go on; each phase runs once at least, from %v on with longer measurements and the default rescue", longRun))
	phases := flags.String("phases", strings.Join(phaseNames(), ","), "what to do, of these")
	flags.BoolVar(&s.race, "race", false, "servers with the race detector; the measurements then mean nothing")
	flags.StringVar(&s.js, "js", "test/js", "directory with node_modules and harness")
	flags.StringVar(&s.logs, "logs", "", "directory for the servers' logs; default: one that is deleted after a good run")
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	s.phases = strings.Split(*phases, ",")
	for _, name := range s.phases {
		if !slices.Contains(phaseNames(), name) {
			return s, fmt.Errorf("-phases: %q is none of %s", name, strings.Join(phaseNames(), ", "))
		}
	}
	return s, nil
}

// long is whether the phases take the time that they could.
func (s settings) long() bool { return s.duration >= longRun }
