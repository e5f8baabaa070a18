package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trunkline/trunkline"
)

// private has pprof and what the load tool asks for.
func private(srv *trunkline.Server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/debug/pprof/", http.DefaultServeMux)
	var profile bytes.Buffer // one at a time
	mux.HandleFunc("POST /profile/start", func(w http.ResponseWriter, r *http.Request) {
		profile.Reset()
		answer(w, nil, pprof.StartCPUProfile(&profile))
	})
	mux.HandleFunc("POST /profile/stop", func(w http.ResponseWriter, r *http.Request) {
		pprof.StopCPUProfile()
		_, _ = w.Write(profile.Bytes()) // the tool sees what is missing
	})
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, r *http.Request) {
		token, err := srv.SignToken(tokenSalt, "load")
		answer(w, token, err)
	})
	mux.HandleFunc("GET /runtime", func(w http.ResponseWriter, r *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		answer(w, map[string]any{
			"pid": os.Getpid(), "goroutines": runtime.NumGoroutine(), "mallocs": m.Mallocs,
			"heap": m.HeapAlloc, "spans": m.HeapInuse, "idle": m.HeapIdle - m.HeapReleased, "stacks": m.StackInuse,
		}, nil)
	})
	mux.HandleFunc("POST /collect", func(w http.ResponseWriter, r *http.Request) {
		debug.FreeOSMemory()
		answer(w, nil, nil)
	})
	mux.HandleFunc("GET /presences", func(w http.ResponseWriter, r *http.Request) {
		answer(w, len(srv.Presences(r.Context(), r.FormValue("topic"))), nil)
	})
	mux.HandleFunc("POST /publish", func(w http.ResponseWriter, r *http.Request) {
		o, err := parsePublishing(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		done, err := o.run(r.Context(), srv)
		answer(w, done, err)
	})
	return mux
}

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the tool sees what is missing
}

// publishing is a load of callers of Server.Publish.
type publishing struct {
	callers, topics, size int
	each                  int           // messages of each caller; 0: for the duration
	duration              time.Duration // in closed loop
	every                 time.Duration // of one caller; 0: closed loop
}

// published is what it did.
type published struct {
	Messages  int64   `json:"messages"`
	Seconds   float64 `json:"seconds"`
	Latencies []int64 `json:"latencies"` // nanoseconds, of the first 100,000
}

func parsePublishing(r *http.Request) (publishing, error) {
	var p publishing
	for name, to := range map[string]*int{"callers": &p.callers, "topics": &p.topics, "size": &p.size, "each": &p.each} {
		n, err := strconv.Atoi(r.FormValue(name))
		if err != nil {
			return p, fmt.Errorf("%s: %w", name, err)
		}
		*to = n
	}
	for name, to := range map[string]*time.Duration{"duration": &p.duration, "every": &p.every} {
		d, err := time.ParseDuration(r.FormValue(name))
		if err != nil {
			return p, fmt.Errorf("%s: %w", name, err)
		}
		*to = d
	}
	return p, nil
}

const latenciesKept = 100_000

// run publishes and returns when all is stored. The topics are d:0 and so on.
func (p publishing) run(ctx context.Context, srv *trunkline.Server) (published, error) {
	ctx, cancel := context.WithTimeout(ctx, p.duration+time.Minute)
	defer cancel()
	var payload any = json.RawMessage(`{"body":"` + strings.Repeat("x", max(p.size-11, 0)) + `"}`)
	topics := make([]string, p.topics)
	for i := range topics {
		topics[i] = fmt.Sprint("d:", i)
	}
	latencies := make([]int64, latenciesKept)
	var next, stored atomic.Int64
	var failure error
	var once sync.Once
	var callers sync.WaitGroup
	began := time.Now()
	for caller := range p.callers {
		callers.Go(func() {
			for i := 0; p.each > 0 && i < p.each || p.each == 0 && time.Since(began) < p.duration; i++ {
				if p.every > 0 {
					time.Sleep(time.Until(began.Add(time.Duration(i) * p.every)))
				}
				at := time.Now()
				if _, err := srv.Publish(ctx, topics[(caller*7919+i)%p.topics], "m", payload); err != nil {
					once.Do(func() { failure = err })
					return
				}
				stored.Add(1)
				if place := next.Add(1) - 1; place < latenciesKept {
					latencies[place] = time.Since(at).Nanoseconds()
				}
			}
		})
	}
	callers.Wait()
	return published{
		Messages: stored.Load(), Seconds: time.Since(began).Seconds(),
		Latencies: latencies[:min(next.Load(), latenciesKept)],
	}, failure
}
