package main

import (
	"fmt"
	"runtime/debug"
)

// version is set by the linker where the module's is not known, as in an image
// (see the Dockerfile).
var version string

type versionCommand struct{}

// Run prints the version, the commit and the Go version.
func (versionCommand) Run() error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		fmt.Println("trunkline (unknown build)")
		return nil
	}
	name, commit := version, ""
	if name == "" {
		name = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			commit = " " + s.Value
		}
	}
	fmt.Printf("trunkline %s%s %s\n", name, commit, info.GoVersion)
	return nil
}
