package main

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
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
		page, err := n.metrics(ctx)
		if err != nil {
			continue // it is for information
		}
		for line := range strings.Lines(page) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			if number, err := strconv.ParseFloat(value, 64); err == nil {
				sums[name] += int(number)
			}
		}
	}
	return sums
}

func (n *node) metrics(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.where()+"/metrics", nil)
	if err != nil {
		return "", err
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	return string(page), err
}
