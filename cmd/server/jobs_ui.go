package main

import (
	"log/slog"
	"net/http"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/jobsui"
)

// adminSettings turn on what only operators may see.
type adminSettings struct {
	Token string `name:"admin-token" env:"ADMIN_TOKEN" help:"Serve River UI, where jobs can be seen, retried and cancelled, at /admin/jobs to those who know this token, at least 20 bytes. Default: it is not served."`
}

// jobsUI is nil without a token.
func (s adminSettings) jobsUI(srv *trunkline.Server, log *slog.Logger) (http.Handler, error) {
	if s.Token == "" {
		return nil, nil
	}
	admin, err := srv.JobsAdmin()
	if err != nil {
		return nil, err
	}
	return jobsui.New(admin, jobsui.Options{Token: s.Token, Logger: log})
}
