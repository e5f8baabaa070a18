package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// checkObject compares with encoding/json.
func checkObject(t interface {
	Helper()
	Errorf(string, ...any)
}, data []byte,
) {
	t.Helper()
	err := CheckObject(data)
	if errors.Is(err, ErrDepth) {
		if strings.Count(string(data), "[")+strings.Count(string(data), "{") < MaxDepth {
			t.Errorf("%q: %v", data, err)
		}
		return
	}
	want := json.Valid(data) && utf8.Valid(data) && bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{"))
	if (err == nil) != want {
		t.Errorf("%q: error %v, want it valid: %v", data, err, want)
	}
}

func TestCheckObject(t *testing.T) {
	t.Parallel()
	for _, seed := range scanSeeds {
		checkObject(t, []byte(seed))
		checkObject(t, []byte(" \t\r\n"+seed+" \n"))
		checkObject(t, []byte(`{"a":`+seed+"}"))
	}
	nested := func(levels int) []byte {
		return []byte(strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels))
	}
	if err := CheckObject(nested(MaxDepth - 1)); err != nil {
		t.Errorf("as deep as fits in a frame: %v", err)
	}
	if err := CheckObject(nested(MaxDepth)); !errors.Is(err, ErrDepth) {
		t.Errorf("deeper: %v", err)
	}
}

func FuzzCheckObject(f *testing.F) {
	for _, seed := range scanSeeds {
		f.Add([]byte(seed))
		f.Add([]byte(`{"a":` + seed + "}"))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkObject(t, data) })
}
