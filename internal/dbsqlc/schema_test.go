package dbsqlc

import (
	"strings"
	"testing"
)

func TestNewSchema(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "trunkline", "_", "a", "app_rt2", strings.Repeat("a", 48)} {
		if _, err := NewSchema(name); err != nil {
			t.Errorf("NewSchema(%q): %v", name, err)
		}
	}
	for _, name := range []string{"2a", "A", "a-b", "a.b", `a"b`, "a b", "é", strings.Repeat("a", 49), "a\n"} {
		if _, err := NewSchema(name); err == nil {
			t.Errorf("NewSchema(%q) accepted the name", name)
		}
	}
}

func TestRewrite(t *testing.T) {
	t.Parallel()
	schema, err := NewSchema("app")
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"select * from trunkline.spill s where trunkline.f(s.id)": "select * from app.spill s where app.f(s.id)",
		"create schema trunkline;":                                "create schema app;",
		"select to_regclass('trunkline.spill')":                   "select to_regclass('app.spill')",
		"select my_trunkline.x, trunkline_x, trunklines.y":        "select my_trunkline.x, trunkline_x, trunklines.y",
	} {
		if got := schema.Rewrite(in); got != want {
			t.Errorf("Rewrite(%q) = %q, want %q", in, got, want)
		}
	}
	standard, err := NewSchema("")
	if err != nil {
		t.Fatal(err)
	}
	if got := standard.Rewrite("trunkline.x"); got != "trunkline.x" {
		t.Errorf("the default schema changed %q", got)
	}
}
