package main

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/trunkline/trunkline"
)

// hook lets a replayer act on the server side: POST /__server.
func hook(srv *trunkline.Server) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Op, Topic, Event, ID string
			Payload              map[string]any
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var err error
		switch body.Op {
		case "broadcast", "broadcast_from": // the caller subscribes to nothing
			err = srv.Broadcast(body.Topic, body.Event, body.Payload)
		case "disconnect":
			err = srv.Disconnect(body.ID)
		default:
			http.Error(w, fmt.Sprintf("unknown op %q", body.Op), http.StatusBadRequest)
			return
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
