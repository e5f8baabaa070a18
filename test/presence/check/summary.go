package main

import "time"

// A figure is one duration of one phase.
type figure struct {
	phase, what string
	took, limit time.Duration
}

func (k *check) figure(what string, took, limit time.Duration) {
	k.figures = append(k.figures, figure{k.phase, what, took, limit})
}

// cpuSeconds stands beside the servers' metrics, which do not have it.
const cpuSeconds = "CPU"

// costs are the servers' metrics that tell what a phase cost.
var costs = []struct{ name, what string }{
	{cpuSeconds, "s of CPU"},
	{"trunkline_presence_diffs_total", "diffs"},
	{"trunkline_presence_diff_changes_total", "joins and leaves in them"},
	{"trunkline_presence_sent_bytes_total", "bytes to other nodes"},
	{"trunkline_presence_transfers_sent_total", "transfers"},
}

// cost prints what a phase cost the servers. One that was started anew meanwhile
// counts from its start.
func (k *check) cost(before, after map[string]float64) {
	for _, c := range costs {
		if spent := after[c.name] - before[c.name]; spent > 0 {
			k.note("servers: %.6g %s", spent, c.what)
		}
	}
}

// summary prints the violations, and the worst of each figure.
func (k *check) summary() {
	for _, v := range k.judge.found {
		k.journal.Printf("VIOLATION %s", v)
	}
	worst := map[[2]string]figure{}
	var order [][2]string
	for _, f := range k.figures {
		id := [2]string{f.phase, f.limit.String()}
		if _, ok := worst[id]; !ok {
			order = append(order, id)
		}
		if f.took >= worst[id].took {
			worst[id] = f
		}
	}
	for _, id := range order {
		f := worst[id]
		k.journal.Printf("worst of %s: %v of %v, %s", f.phase, f.took.Round(time.Millisecond), f.limit, f.what)
	}
	k.journal.Printf("%d members, %d violations", len(k.crowd.members), len(k.judge.found))
}
