package wire

import "testing"

func TestClone(t *testing.T) {
	t.Parallel()
	frame := []byte(`[null,"","room:lobby","ping",{"n":1}]`)
	var e Envelope
	if err := V2.Decode(frame, false, &e); err != nil {
		t.Fatal(err)
	}
	clone := e.Clone()
	if !same(e, clone) {
		t.Fatalf("clone %s differs from %s", show(clone), show(e))
	}
	for i := range frame {
		frame[i] = 'x'
	}
	want := Envelope{Ref: []byte(`""`), Topic: []byte("room:lobby"), Event: []byte("ping"), Payload: jsonPayload(`{"n":1}`)}
	if !same(clone, want) {
		t.Errorf("with the frame the clone became %s", show(clone))
	}
	_ = append(clone.Ref, "garbage"...)
	_ = append(clone.Topic, "garbage"...)
	_ = append(clone.Event, "garbage"...)
	if !same(clone, want) {
		t.Errorf("an append to one field changed another: %s", show(clone))
	}
}

func TestCloneAllocatesOnce(t *testing.T) {
	var e, clone Envelope
	if err := V2.Decode(benchV2, false, &e); err != nil {
		t.Fatal(err)
	}
	if allocs := testing.AllocsPerRun(100, func() { clone = e.Clone() }); allocs != 1 {
		t.Errorf("%v allocations", allocs)
	}
	if !same(clone, e) {
		t.Errorf("clone %s differs from %s", show(clone), show(e))
	}
}
