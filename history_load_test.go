package trunkline_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/pgtest"
)

// countedServer is durableServer with its metrics.
func countedServer(t *testing.T) (srv *trunkline.Server, url, database string, queries func() float64) {
	t.Helper()
	database = pgtest.URL(t)
	registry := prometheus.NewRegistry()
	srv, err := trunkline.New(trunkline.Config{
		DatabaseURL: database, SecretKeyBase: "a test's secret, twenty bytes at least", Registerer: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Socket("/socket", anySocket)
	srv.Durable("room:*", trunkline.HistoryOptions{})
	srv.Channel("room:*", func() trunkline.Channel { return durableRoom{} })
	url, stop := start(srv)
	t.Cleanup(stop)
	return srv, url, database, func() (n float64) {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() != "trunkline_history_queries_total" {
				continue
			}
			for _, m := range f.GetMetric() {
				if kind := m.GetLabel()[0].GetValue(); kind == "after" || kind == "before" || kind == "topics" {
					n += m.GetCounter().GetValue()
				}
			}
		}
		return n
	}
}

// fill publishes n messages on each topic by the SQL that the nodes use.
func fill(t *testing.T, database string, topics []string, n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	_, err = conn.Exec(t.Context(), `select trunkline.publish(topic, 'm', json_build_object('n', n)::jsonb)
		from generate_series(1, $2) n, unnest($1::text[]) topic`, topics, n)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		var numbered bool
		err := conn.QueryRow(t.Context(), `select count(*) = $2 and coalesce(min(head), 0) >= $3
			from trunkline.topics where name = any($1)`, topics, len(topics), n).Scan(&numbered)
		if err != nil {
			t.Fatal(err)
		}
		if numbered {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the relay has not numbered what was published")
		}
	}
}

// A client 100,000 messages behind gets them all, in order, while new ones are
// published; the server holds no more of them than its queue and a page.
func TestAClientFarBehindCatchesUp(t *testing.T) {
	const behind, live = 100_000, 200
	srv, url, database, _ := countedServer(t)
	fill(t, database, []string{"room:1"}, behind)
	c := dialClient(t, url, "a")
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	joined := c.join(`{"last_seen_id":0}`)
	next := len(joined["messages"].([]any)) + 1
	if joined["more"] != true {
		t.Fatalf("more is %v", joined["more"])
	}
	var published sync.WaitGroup
	published.Go(func() { publish(t, srv, live) })
	var most uint64
	for ; next <= behind+live; next++ {
		_, event, p := c.read()
		if event != "m" || p["id"] != float64(next) {
			t.Fatalf("%s %v, want id %d", event, p, next)
		}
		if next%10_000 == 0 {
			most = max(most, heap())
		}
	}
	published.Wait()
	const bound = 3 << 20 // its queue of 1 MiB, this client's own buffers, and 1 MiB
	if most > before+bound {
		t.Errorf("the heap grew by %d KiB while one client caught up, want at most %d", (most-before)>>10, bound>>10)
	}
	t.Logf("heap: %d KiB before, at most %d KiB while catching up", before>>10, most>>10)
}

// errRefused is a join that was answered with an error.
var errRefused = errors.New("refused")

// stormClient joins one topic and reports what it missed.
func stormClient(t *testing.T, url, topic string, from int) (ids []int64, err error) {
	conn, _, err := websocket.Dial(t.Context(), strings.Replace(url, "http", "ws", 1)+"/socket/websocket?vsn=2.0.0&user=a", nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(8 << 20)
	frame := fmt.Sprintf(`["1","1",%q,"phx_join",{"last_seen_id":%d}]`, topic, from)
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		return nil, err
	}
	_, data, err := conn.Read(t.Context())
	if err != nil {
		return nil, err
	}
	var reply []json.RawMessage
	var body struct {
		Status   string
		Response struct {
			Messages []struct{ ID int64 }
			More     bool
			Reason   string
		}
	}
	if err := json.Unmarshal(data, &reply); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(reply[4], &body); err != nil {
		return nil, err
	}
	if body.Status != "ok" {
		return nil, fmt.Errorf("%w: %s", errRefused, body.Response.Reason)
	}
	if body.Response.More {
		return nil, fmt.Errorf("more is true")
	}
	for _, m := range body.Response.Messages {
		ids = append(ids, m.ID)
	}
	return ids, nil
}

// storm lets clients rejoin at once, each having missed 100 messages, and
// returns how many statements read the history.
func storm(t *testing.T, topics []string, clients int) float64 {
	t.Helper()
	_, url, database, queries := countedServer(t)
	fill(t, database, topics, 200)
	before := queries()
	var wg sync.WaitGroup
	var bad, refused atomic.Int64
	started := time.Now()
	for i := range clients {
		wg.Go(func() {
			ids, err := stormClient(t, url, topics[i%len(topics)], 100)
			// On a machine that is busy some may be told to try again, which they do.
			for errors.Is(err, errRefused) && time.Since(started) < time.Minute {
				refused.Add(1)
				time.Sleep(time.Second) // as phoenix.js does
				ids, err = stormClient(t, url, topics[i%len(topics)], 100)
			}
			ok := err == nil && len(ids) == 100
			for n := 0; ok && n < len(ids); n++ {
				ok = ids[n] == int64(101+n)
			}
			if !ok && bad.Add(1) == 1 {
				t.Errorf("client %d: %v, ids %v", i, err, ids)
			}
		})
	}
	wg.Wait()
	if n := bad.Load(); n > 0 {
		t.Errorf("%d of %d clients did not get exactly what they missed", n, clients)
	}
	t.Logf("%d clients of %d topics: %v, %v statements, %d joins refused", clients, len(topics), time.Since(started), queries()-before, refused.Load())
	return queries() - before
}

func TestAReconnectStormOfOneTopic(t *testing.T) {
	if n := storm(t, []string{"room:1"}, 2000); n > 20 {
		t.Errorf("%v statements, want at most 20", n)
	}
}

func TestAReconnectStormOfManyTopics(t *testing.T) {
	var topics []string
	for i := range 500 {
		topics = append(topics, fmt.Sprintf("room:%d", i))
	}
	if n := storm(t, topics, 2000); n > 3*500 {
		t.Errorf("%v statements for 500 topics, want at most 3 each", n)
	}
}

// A client far behind on many topics that reads nothing for a while is not cut
// off: what does not fit its queue comes when it reads.
func TestASlowClientOfManyTopicsLosesNothing(t *testing.T) {
	const topics, messages = 20, 90
	_, url, database, _ := countedServer(t)
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var names []string
	for i := range topics {
		names = append(names, fmt.Sprintf("room:%d", i))
	}
	fill(t, database, names, messages)
	if _, err := conn.Exec(t.Context(), `update trunkline.messages set payload = jsonb_build_object('body', repeat('x', 10000))::text`); err != nil {
		t.Fatal(err)
	}

	ws, _, err := websocket.Dial(t.Context(), strings.Replace(url, "http", "ws", 1)+"/socket/websocket?vsn=2.0.0&user=a", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	ws.SetReadLimit(8 << 20)
	for i, name := range names {
		frame := fmt.Sprintf(`["%d","%d",%q,"phx_join",{"last_seen_id":0}]`, i, i, name)
		if err := ws.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(2 * time.Second) // it reads nothing
	last := map[string]int64{}
	for got := 0; got < topics*messages; {
		_, data, err := ws.Read(t.Context())
		if err != nil {
			t.Fatalf("cut off after %d of %d messages: %v", got, topics*messages, err)
		}
		var frame []json.RawMessage
		var topic string
		var body struct {
			ID       int64
			Response struct{ Messages []struct{ ID int64 } }
		}
		if err := json.Unmarshal(data, &frame); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(frame[2], &topic); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(frame[4], &body); err != nil {
			t.Fatal(err)
		}
		ids := []int64{}
		if body.ID > 0 {
			ids = append(ids, body.ID)
		}
		for _, m := range body.Response.Messages {
			ids = append(ids, m.ID)
		}
		for _, id := range ids {
			if id != last[topic]+1 {
				t.Fatalf("%s: id %d after %d", topic, id, last[topic])
			}
			last[topic] = id
			got++
		}
	}
}
