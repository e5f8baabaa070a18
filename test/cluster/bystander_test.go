package cluster

import (
	"fmt"
	"testing"
	"time"
)

const (
	bystanderCount = 10
	// promptly is how soon a node answers its own clients whatever happens to
	// Postgres or to other nodes. Half of the answers must be so quick, and all
	// but one in a hundred ten times as slow: the machine may be busy.
	promptly = 100 * time.Millisecond
)

// bystanders are clients of one node who must notice nothing of what happens
// elsewhere: some only listen, one sends heartbeats, and two talk.
type bystanders struct {
	name      string
	listening []*client
	beats     *probe
	talk      *probe
}

func watch(t testing.TB, n *node, name string) *bystanders {
	t.Helper()
	b := &bystanders{name: name}
	for range bystanderCount {
		b.listening = append(b.listening, connect(t, n).join(t, "room:quiet"))
	}
	beating := connect(t, n).join(t, "room:quiet")
	b.listening = append(b.listening, beating)
	b.beats = startProbe(t, 50*time.Millisecond, beating.heartbeat)

	topic := "room:local:" + name
	speaker, hearer := connect(t, n).join(t, topic), connect(t, n).join(t, topic)
	said := 0
	b.talk = startProbe(t, 50*time.Millisecond, func() error {
		said++
		if _, err := speaker.push(topic, "new_msg", object{"body": said}); err != nil {
			return err
		}
		for _, c := range []*client{speaker, hearer} {
			m, err := c.nextMessage(patience)
			if want := fmt.Sprintf(`{"body":%d}`, said); err == nil && (m.event != "new_msg" || string(m.payload) != want) {
				err = fmt.Errorf("got %s %s, want %s", m.event, m.payload, want)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return b
}

// end checks that they noticed nothing.
func (b *bystanders) end(t testing.TB) {
	t.Helper()
	for what, took := range map[string]durations{
		"heartbeats":       b.beats.end(t, b.name+": heartbeats"),
		"local broadcasts": b.talk.end(t, b.name+": local broadcasts"),
	} {
		if took.quantile(0.5) > promptly || took.quantile(0.99) > 10*promptly {
			t.Errorf("%s: %s were slow: %v", b.name, what, took)
		}
	}
	for _, c := range b.listening {
		c.undisturbed(t)
	}
}
