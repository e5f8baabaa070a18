package history

import "testing"

func TestMessage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		idKey string
		row   row
		want  string
	}{
		{"id", row{id: 5, event: "e", payload: []byte(`{}`)}, `{"id":5}`},
		{"id", row{id: 5, event: "e", payload: []byte(" {\n } ")}, `{"id":5} `},
		{"id", row{id: 5, event: "e", payload: []byte(` { "a":1}`)}, `{"id":5,"a":1}`},
		{`s"q`, row{id: 9e15, event: "e", payload: []byte(`{"a":{}}`)}, `{"s\"q":9000000000000000,"a":{}}`},
		{"id", row{id: 6, event: EventUpdated, refersTo: 5, payload: []byte(`{"a":2}`)}, `{"id":6,"message_id":5,"payload":{"a":2}}`},
		{"seq", row{id: 7, event: EventDeleted, refersTo: 5, payload: []byte(`{}`)}, `{"seq":7,"message_id":5}`},
		{"id", row{id: 5, event: "e", payload: []byte(`{}`), deleted: true}, ``},
		{"id", row{id: 6, event: EventUpdated, refersTo: 5, payload: []byte(`{}`), deleted: true}, ``},
	} {
		m := c.row.message(c.idKey)
		if string(m.Payload) != c.want || m.ID != c.row.id || m.Event != c.row.event || m.RefersTo != c.row.refersTo || m.Deleted != c.row.deleted {
			t.Errorf("%+v became %+v with %s, want %s", c.row, m, m.Payload, c.want)
		}
	}
}

func TestEpochString(t *testing.T) {
	t.Parallel()
	if got := epochString("0f8fad5b-d9cb-469f-a165-70867728950e", 17); got != "0f8fad5bd9cb469fa16570867728950e-17" {
		t.Error(got)
	}
}
