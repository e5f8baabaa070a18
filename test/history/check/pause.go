package main

import (
	"math/rand/v2"
	"time"
)

// between is a random duration.
func between(least, most time.Duration) time.Duration { return least + rand.N(most-least) }

// oneIn is true once in so many times.
func oneIn(n int) bool { return rand.IntN(n) == 0 }
