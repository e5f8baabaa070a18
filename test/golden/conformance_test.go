package golden

import (
	"slices"
	"strings"
	"testing"

	"github.com/trunkline/trunkline/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// Every transcript passes against one node. The one that shuts the server down
// comes last.
func TestGolden(t *testing.T) {
	t.Parallel()
	node := startNode(t, buildConformance(t), pgtest.URL(t))
	target := Target{BaseURL: node.url, Shutdown: node.terminate}
	var replayer Replayer
	cases := allCases(t)
	slices.SortStableFunc(cases, func(a, b Case) int { return boolInt(a.Shuts()) - boolInt(b.Shuts()) })
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if err := replayer.Replay(t.Context(), c, target); err != nil {
				t.Error(err)
			}
		})
	}
}

// Transcripts in which something reaches others pass as well when these are
// connected to another node than the publisher.
func TestGoldenTwoNodes(t *testing.T) {
	t.Parallel()
	binary, database := buildConformance(t), pgtest.URL(t)
	first, second := startNode(t, binary, database), startNode(t, binary, database)
	spread := Target{BaseURL: first.url, PeerURL: second.url}
	remote := Target{BaseURL: first.url, PublishURL: second.url}
	var replayer Replayer
	replayed := 0
	for _, c := range allCases(t) {
		if !reachesOthers(c) {
			continue
		}
		for _, layout := range []struct {
			name   string
			target Target
			needed bool
		}{
			{"publisher elsewhere", remote, c.publishes()},
			{"clients on both", spread, c.connections() > 1},
		} {
			if !layout.needed {
				continue
			}
			replayed++
			t.Run(c.Name+"/"+layout.name, func(t *testing.T) {
				if err := replayer.Replay(t.Context(), c, layout.target); err != nil {
					t.Error(err)
				}
			})
		}
	}
	if replayed < 15 { // the filter lost something
		t.Errorf("only %d replays on two nodes", replayed)
	}
}

// reachesOthers: not binary.to_v1_client, where a broadcaster crashes because of
// a member that its own node cannot encode for.
func reachesOthers(c Case) bool {
	return slices.ContainsFunc([]string{
		"broadcast.", "disconnect.", "terminate.", "mixed_versions",
		"longpoll.session.", "push.stop.", "push.unencodable_broadcast.",
	}, func(prefix string) bool { return strings.HasPrefix(c.Name, prefix) })
}

// connections is the number of connections that the case opens.
func (c Case) connections() int {
	count := 0
	for _, s := range c.Steps {
		if s.Op == "connect" {
			count++
		}
	}
	return count
}

// publishes reports whether something is broadcast from outside any channel.
func (c Case) publishes() bool {
	return slices.ContainsFunc(c.Steps, func(s Step) bool { return s.Op == "server" })
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
