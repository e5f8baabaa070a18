package chat

import (
	"encoding/json"
	"net/http"
	"regexp"
)

// userName keeps names that read well and that fit into a topic.
var userName = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{M}\p{N}_.-]{0,31}$`)

const userNameProblem = "should be 1 to 32 letters, digits, dots, dashes or underscores, and begin with a letter or digit"

// tokenForAnyone answers {"token", "user_id"}, or 400 with field errors.
func tokenForAnyone(sign func(userID string) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("user")
		if !userName.MatchString(name) {
			writeJSON(w, http.StatusBadRequest, fieldError("user", userNameProblem))
			return
		}
		token, err := sign(name)
		if err != nil {
			writeJSON(w, http.StatusInternalServerError, reason{"cannot sign"})
			return
		}
		writeJSON(w, http.StatusOK, struct {
			Token  string `json:"token"`
			UserID string `json:"user_id"`
		}{token, name})
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no answer
}
