package cluster

import (
	"net"
	"net/url"
	"testing"

	"github.com/trunkline/trunkline/test/harness"
)

// startLink starts a network between nodes and the server behind it.
func startLink(t testing.TB, behind string) *harness.Link {
	t.Helper()
	link, err := harness.NewLink(func() (net.Conn, error) { return net.Dial("tcp", behind) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	return link
}

// redirected is the address of the same database at another host and port.
func redirected(t testing.TB, direct, address string) string {
	t.Helper()
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = address
	return u.String()
}

func hostPort(t testing.TB, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil || u.Port() == "" {
		t.Fatalf("no host and port in %s: %v", rawURL, err)
	}
	return u.Host
}
