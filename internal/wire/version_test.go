package wire

import (
	"errors"
	"testing"
)

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		vsn  string
		want Version // 0: refused
	}{
		{"1.0.0", V1},
		{"1.0.9", V1},
		{"1.0.123456789012345678901234567890", V1},
		{"2.0.0", V2},
		{"2.0.1", V2},
		{"2.0.0+build.7", V2},
		// Version.match?/2 allows pre-releases, and this one is above 2.0.0.
		{"2.0.1-rc.1", V2},
		{"2.0.1--", V2},

		{"", 0},
		{"1", 0},
		{"2", 0},
		{"2.0", 0},
		{"2.0+build", 0},
		{"1.1.0", 0},
		{"2.1.0", 0},
		{"3.0.0", 0},
		{"0.0.0", 0},
		{"123.1.1", 0},
		{"2.0.0-rc.1", 0},
		{"1.0.0-0", 0},
		{"2.0.0.0", 0},
		{"02.0.0", 0},
		{"2.00.0", 0},
		{"2.0.01", 0},
		{"2.0.1-01", 0},
		{"2.0.1-a..b", 0},
		{"2.0.0-", 0},
		{"2.0.0+", 0},
		{"2.0.0+a+b", 0},
		{"2.0.0 ", 0},
		{" 2.0.0", 0},
		{"v2.0.0", 0},
		{"+2.0.0", 0},
		{"2.0.x", 0},
		{"2.0.\u0661", 0},
		{"abc", 0},
		{"\xff", 0},
	} {
		got, err := ParseVersion(tc.vsn, true)
		if got != tc.want {
			t.Errorf("ParseVersion(%q) = %v (%v), want %v", tc.vsn, got, err, tc.want)
		}
		if refused := errors.Is(err, ErrVersion); refused != (tc.want == 0) {
			t.Errorf("ParseVersion(%q): error %v, want an ErrVersion: %v", tc.vsn, err, tc.want == 0)
		}
	}
}

func TestParseVersionAbsent(t *testing.T) {
	t.Parallel()
	if v, err := ParseVersion("", false); v != V1 || err != nil {
		t.Errorf("absent vsn = %v, %v, want V1", v, err)
	}
}

func TestVersionString(t *testing.T) {
	t.Parallel()
	for v, want := range map[Version]string{V1: "1.0.0", V2: "2.0.0", 0: "unknown (0)"} {
		if got := v.String(); got != want {
			t.Errorf("Version(%d) = %q, want %q", uint8(v), got, want)
		}
	}
}
