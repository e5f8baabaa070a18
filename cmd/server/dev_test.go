package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestDev(t *testing.T) {
	t.Parallel()
	// Postgres may run as another user, who must be able to enter.
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	env := settings{"TRUNKLINE_DATA_DIR=" + filepath.Join(dir, "dev"), "PORT=0", "HOME=" + home}
	const banner = `Open http://localhost:(\d+) in two browser windows`

	first := node{process: start(t, env, "dev")}
	first.port = first.await(banner)
	second := node{process: start(t, env, "dev")} // joins the same Postgres
	second.port = second.await(banner)
	for _, n := range []node{first, second} {
		if status, body := get(t, n.url()+"/"); status != 200 || !strings.Contains(body, "<html") {
			t.Errorf("page: %d: %.100s", status, body)
		}
	}
	// One secret for both, kept for the next start, and nobody else's to read.
	_, answer := get(t, first.url()+"/demo/token?user=ana")
	m := regexp.MustCompile(`"token":"([^"]+)"`).FindStringSubmatch(answer)
	if m == nil {
		t.Fatalf("/demo/token: %s", answer)
	}
	join(t, second, m[1], "room:lobby")
	info, err := os.Stat(filepath.Join(home, ".config/trunkline/dev_secret_key_base"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the secret's file has mode %v", info.Mode())
	}

	for _, n := range []node{second, first} {
		if code := n.stop(); code != 0 {
			t.Errorf("exit code %d after SIGTERM", code)
		}
	}
}
