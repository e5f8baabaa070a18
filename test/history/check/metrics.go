package main

import (
	"context"

	"github.com/trunkline/trunkline/test/harness"
)

// counters are the servers' metrics that tell whether the run went through what
// it is meant to break, with what they count.
var counters = []struct{ name, what string }{
	{"trunkline_catch_ups_total", "subscriptions that caught up from the history"},
	{"trunkline_history_hole_fetches_total", "holes fetched from the database"},
	{"trunkline_history_memory_pages_total", "pages from memory"},
	{"trunkline_history_database_pages_total", "pages from the database"},
	{"trunkline_websocket_queue_full_total", "clients cut for a full queue"},
	{"trunkline_channel_crashes_total", "channels that ended with an error"},
}

// scrape adds up the counters of the nodes since their last starts.
func (c *cluster) scrape(ctx context.Context) map[string]int {
	sums := map[string]int{}
	for _, n := range c.nodes {
		series, err := harness.Metrics(ctx, n.Address())
		if err != nil {
			continue // it is for information
		}
		for name, value := range series {
			sums[name] += int(value)
		}
	}
	return sums
}
