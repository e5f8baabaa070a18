package verify

// checkStream requires one subscriber to have been handed each message of its
// topic once, in order and unchanged.
func (t *table) checkStream(s *Stream, found *findings) {
	who := s.Subscriber + " on " + s.Topic
	for _, complaint := range s.Complaints {
		found.add(KindComplaint, "%s: %s", who, complaint)
	}
	seen, known := make(map[int64]bool, len(s.Deliveries)), make(map[string]int64, len(s.Deliveries))
	var newest int64
	var again, late []int64
	for _, d := range s.Deliveries {
		t.checkDelivery(who, s.Topic, d, found)
		if id, ok := known[d.Key]; ok && id != d.ID {
			found.add(KindDuplicate, "%s: was handed %s as %d and as %d", who, d.Key, id, d.ID)
		}
		known[d.Key] = d.ID
		switch {
		case d.ID <= 0:
			continue // reported
		case seen[d.ID]:
			again = append(again, d.ID)
		case d.ID < newest:
			late = append(late, d.ID)
		}
		seen[d.ID] = true
		newest = max(newest, d.ID)
	}
	var missing []int64
	head := t.heads[s.Topic]
	for id := int64(1); id <= min(newest, head); id++ { // ids beyond the head are strangers
		if !seen[id] {
			missing = append(missing, id)
		}
	}
	if len(again) > 0 {
		found.add(KindDuplicate, "%s: was handed %s more than once", who, ranges(again))
	}
	if len(late) > 0 {
		found.add(KindOutOfOrder, "%s: was handed %s after newer messages", who, ranges(late))
	}
	if len(missing) > 0 {
		found.add(KindGap, "%s: was never handed %s, but newer messages", who, ranges(missing))
	}
	if newest < head {
		found.add(KindNotAtHead, "%s: has got as far as %d, the head is %d", who, newest, head)
	}
}

// checkDelivery compares a delivery with the table.
func (t *table) checkDelivery(who, topic string, d Delivery, found *findings) {
	row, stored := t.rows[place{topic, d.ID}]
	switch outcome := t.absent[d.Key]; {
	case stored && row.Key == d.Key:
		// That it is stored is the violation, one for all who got it.
	case outcome == RolledBack:
		found.add(KindRolledBack, "%s: was handed %s as %d, which was rolled back", who, d.Key, d.ID)
	case outcome == Refused:
		found.add(KindRefused, "%s: was handed %s as %d, which was answered with an error", who, d.Key, d.ID)
	}
	switch {
	case d.ID <= 0:
		found.add(KindWrongID, "%s: was handed %s with the id %d", who, d.Key, d.ID)
	case !stored:
		found.add(KindStranger, "%s: was handed %d (%s), which is not stored", who, d.ID, d.Key)
	case row.Key != d.Key:
		found.add(KindDifferent, "%s: was handed %s as %d, which is stored as %s", who, d.Key, d.ID, row.Key)
	case row.Event != d.Event:
		found.add(KindDifferent, "%s: %d came as event %s and is stored as %s", who, d.ID, d.Event, row.Event)
	case row.Payload != d.Payload:
		found.add(KindDifferent, "%s: %d (%s) came with another payload than is stored", who, d.ID, d.Key)
	}
}
