package main

import "github.com/trunkline/trunkline/test/harness"

type (
	message = harness.Message
	reply   = harness.Reply
	object  map[string]any
)
