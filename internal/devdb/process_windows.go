package devdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
)

// errWindows ends Start before anything else of this file matters.
var errWindows = fmt.Errorf("devdb: the development Postgres does not run on Windows: %w\n%s", errors.ErrUnsupported, waysOut)

type account struct {
	name    string
	dropped bool
}

func postgresAccount() (account, error) { return account{}, errWindows }

func (account) own(string) error                              { return errWindows }
func (account) reach(string) error                            { return errWindows }
func (account) ownedBy(fs.FileInfo) bool                      { return false }
func (account) command(name string, args ...string) *exec.Cmd { return exec.Command(name, args...) }

func killGroup(int)                              {}
func signalProcess(int, syscall.Signal) error    { return errWindows }
func alive(int) bool                             { return false }
func commandLine(context.Context, int) []string  { return nil }
func tryFlock(*os.File) (bool, error)            { return false, errWindows }
func openNoFollow(string, int) (*os.File, error) { return nil, errWindows }
