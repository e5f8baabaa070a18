package main

import (
	"fmt"
	"runtime/debug"
)

type versionCommand struct{}

// Run prints the module's version, the commit and the Go version.
func (versionCommand) Run() error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		fmt.Println("trunkline (unknown build)")
		return nil
	}
	version, commit := info.Main.Version, ""
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			commit = " " + s.Value
		}
	}
	fmt.Printf("trunkline %s%s %s\n", version, commit, info.GoVersion)
	return nil
}
