package verify

import "slices"

// Check compares the records with each other and returns what was broken.
func Check(run Run) []Violation {
	t := newTable(run)
	var found findings
	t.checkIDs(&found)
	t.checkPublishes(run.Publishes, &found)
	t.checkOrigins(run, &found)
	checkOrder(run.Publishes, t, &found)
	for i := range run.Streams {
		t.checkStream(&run.Streams[i], &found)
	}
	return found
}

// place is where a message is stored.
type place struct {
	topic string
	id    int64
}

// table is the database's content, indexed.
type table struct {
	heads  map[string]int64
	topics []string           // sorted
	rows   map[place]Row      // one of them where an id is there twice
	ids    map[string][]int64 // by topic, ascending, with repetitions
	keys   map[string][]place // where each message is, by its key
	absent map[string]Outcome // keys of what must not be there
}

func newTable(run Run) *table {
	t := &table{
		heads: map[string]int64{}, rows: map[place]Row{}, ids: map[string][]int64{},
		keys: map[string][]place{}, absent: map[string]Outcome{},
	}
	for _, topic := range run.Topics {
		t.heads[topic.Name] = topic.Head
	}
	for _, row := range run.Rows {
		at := place{row.Topic, row.ID}
		t.rows[at] = row
		t.ids[row.Topic] = append(t.ids[row.Topic], row.ID)
		t.keys[row.Key] = append(t.keys[row.Key], at)
		if _, ok := t.heads[row.Topic]; !ok {
			t.heads[row.Topic] = 0
		}
	}
	for topic := range t.heads {
		slices.Sort(t.ids[topic])
		t.topics = append(t.topics, topic)
	}
	slices.Sort(t.topics)
	for _, p := range run.Publishes {
		if p.Outcome == RolledBack || p.Outcome == Refused {
			t.absent[p.Key] = p.Outcome
		}
	}
	return t
}

// checkIDs requires the ids of each topic to be 1 to its head.
func (t *table) checkIDs(found *findings) {
	for _, topic := range t.topics {
		head, due := t.heads[topic], int64(1)
		var missing, twice, beyond []int64
		for _, id := range t.ids[topic] {
			switch {
			case id < due:
				twice = append(twice, id)
				continue
			case id > head:
				beyond = append(beyond, id)
				continue
			}
			for ; due < id; due++ {
				missing = append(missing, due)
			}
			due = id + 1
		}
		for ; due <= head; due++ {
			missing = append(missing, due)
		}
		if len(missing) > 0 {
			found.add(KindGap, "%s: the table has no message %s; the head is %d", topic, ranges(missing), head)
		}
		if len(twice) > 0 {
			found.add(KindDuplicate, "%s: the table has two messages of the id %s", topic, ranges(twice))
		}
		if len(beyond) > 0 {
			found.add(KindGap, "%s: the table has the message %s beyond the head %d", topic, ranges(beyond), head)
		}
	}
}

// checkPublishes compares what publishers know with the table.
func (t *table) checkPublishes(publishes []Publish, found *findings) {
	for _, p := range publishes {
		at := t.keys[p.Key]
		if len(at) > 1 {
			found.add(KindDuplicate, "message %s of %s is stored %d times: %v", p.Key, p.Publisher, len(at), at)
		}
		switch p.Outcome {
		case Committed:
			if len(at) == 0 {
				found.add(KindLost, "message %s of %s on %s was acknowledged (id %d) and is not stored", p.Key, p.Publisher, p.Topic, p.ID)
			} else if p.ID != 0 && !slices.Contains(at, place{p.Topic, p.ID}) {
				found.add(KindWrongID, "message %s of %s was acknowledged as %s %d and is stored as %v", p.Key, p.Publisher, p.Topic, p.ID, at)
			}
		case RolledBack:
			if len(at) > 0 {
				found.add(KindRolledBack, "message %s of %s was rolled back and is stored: %v", p.Key, p.Publisher, at)
			}
		case Refused:
			if len(at) > 0 {
				found.add(KindRefused, "message %s of %s was answered with an error (%s) and is stored: %v", p.Key, p.Publisher, p.Reason, at)
			}
		case Unknown:
		case Unanswered:
			found.add(KindUnanswered, "message %s of %s on %s was never acknowledged; it is stored: %v", p.Key, p.Publisher, p.Topic, at)
		}
		for _, at := range at {
			row := t.rows[at]
			if row.Topic != p.Topic || row.Event != p.Event || row.Text != p.Text {
				found.add(KindDifferent, "message %s of %s (%s on %s) is stored as %s on %s %d, the same text: %v",
					p.Key, p.Publisher, p.Event, p.Topic, row.Event, row.Topic, row.ID, row.Text == p.Text)
			}
		}
	}
}

// checkOrigins requires a publisher for every stored message.
func (t *table) checkOrigins(run Run, found *findings) {
	known := make(map[string]bool, len(run.Publishes))
	for _, p := range run.Publishes {
		known[p.Key] = true
	}
	for _, row := range run.Rows {
		if !known[row.Key] {
			found.add(KindStranger, "message %q, stored as %s %d, was published by nobody", row.Key, row.Topic, row.ID)
		}
	}
}

// checkOrder requires what a publisher was told to be committed to have lower
// ids than what it published on the same topic afterwards.
func checkOrder(publishes []Publish, t *table, found *findings) {
	type writer struct{ publisher, topic string }
	type message struct {
		id  int64
		key string
	}
	newest := map[writer]message{}
	for _, p := range publishes {
		at := t.keys[p.Key]
		if len(at) != 1 || at[0].topic != p.Topic {
			continue // absent, or reported already
		}
		by, now := writer{p.Publisher, p.Topic}, message{at[0].id, p.Key}
		before := newest[by]
		if now.id < before.id {
			found.add(KindOutOfOrder, "%s: %s published %s after %s, and their ids are %d and %d",
				p.Topic, p.Publisher, now.key, before.key, now.id, before.id)
		}
		if p.Outcome == Committed && now.id > before.id {
			newest[by] = now
		}
	}
}
