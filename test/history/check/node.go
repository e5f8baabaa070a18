package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/trunkline/trunkline/test/harness"
)

// secret is what tokens are signed with.
var secret = strings.Repeat("0123456789abcdef", 4)

// A node is a server with its own link to Postgres.
type node struct {
	*harness.Node
	link *harness.Link
}

// newNode makes a node that reaches the database by the link.
func newNode(name, program, logs string, link *harness.Link, database string) *node {
	return &node{link: link, Node: &harness.Node{
		Name: name,
		Log:  filepath.Join(logs, name+".log"),
		Command: func(address string) *exec.Cmd {
			_, port, _ := net.SplitHostPort(address)
			cmd := exec.Command(program, "serve")
			cmd.Env = []string{
				"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
				"PORT=" + port, "BIND=127.0.0.1", "SECRET_KEY_BASE=" + secret, "NODE_NAME=" + name,
				"DATABASE_URL=" + database, "ALLOW_ROOMS=room:*",
				"QUEUE_BYTES=16384", // small, so that paused clients fall behind it
			}
			return cmd
		},
	}}
}
