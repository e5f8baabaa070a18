package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trunkline/trunkline"
)

// databaseSettings are those of every command that reaches Postgres.
type databaseSettings struct {
	DatabaseURL       string `name:"database-url" env:"DATABASE_URL" help:"Postgres of the application: postgres://user:password@host:5432/database. May lead through PgBouncer if --database-direct-url does not."`
	DatabaseDirectURL string `name:"database-direct-url" env:"DATABASE_DIRECT_URL" help:"Postgres without a pooler, for LISTEN and migrations. Default: the same."`
	Schema            string `env:"DATABASE_SCHEMA" default:"trunkline" help:"Schema of all database objects."`
}

// check names the setting that is no URL of Postgres. It quotes none that does
// not parse: it may hold a password.
func (d databaseSettings) check() error {
	for _, s := range []struct{ name, value string }{
		{"DATABASE_URL", d.DatabaseURL},
		{"DATABASE_DIRECT_URL", d.DatabaseDirectURL},
	} {
		if s.value == "" {
			continue
		}
		u, err := url.Parse(s.value)
		if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
			return fmt.Errorf("%s is not the URL of a Postgres: want postgres://user:password@host:5432/database, special characters of the password as %%XX", s.name)
		}
		if _, err := pgconn.ParseConfig(s.value); err != nil {
			return fmt.Errorf("%s: %w", s.name, err) // pgconn leaves the password out
		}
	}
	return nil
}

// directURL is the URL for what a pooler cannot do.
func (d databaseSettings) directURL() (string, error) {
	if err := d.check(); err != nil {
		return "", err
	}
	if d.DatabaseDirectURL != "" {
		return d.DatabaseDirectURL, nil
	}
	if d.DatabaseURL == "" {
		return "", errors.New("DATABASE_URL is not set: give --database-url or DATABASE_URL=postgres://user:password@host:5432/database")
	}
	return d.DatabaseURL, nil
}

// serverSettings are those of serve and dev.
type serverSettings struct {
	databaseSettings
	PoolSize       int  `name:"pool-size" env:"DATABASE_POOL_SIZE" default:"8" help:"Pooled connections of this node; up to nine direct ones come on top."`
	SkipMigrations bool `env:"SKIP_MIGRATIONS" help:"Do not migrate at the start."`

	Port          int             `env:"PORT" default:"4000" help:"Port to serve HTTP on."`
	Bind          string          `env:"BIND" help:"Address to serve HTTP on. Default: all; dev: 127.0.0.1 only."`
	SecretKeyBase string          `env:"SECRET_KEY_BASE" help:"Secret that tokens are signed with, at least 20 bytes; share it with the Phoenix application whose tokens are to be accepted."`
	PublicHost    string          `name:"host" env:"TRUNKLINE_HOST" help:"Host that browsers reach the server by, for the origin check. Default: whatever host a request names."`
	CheckOrigin   []string        `name:"check-origin" env:"CHECK_ORIGIN" help:"Allowed origins, such as https://app.example or //*.example; \"any\" allows all. Default: --host only."`
	Node          string          `env:"NODE_NAME" help:"This node's name in logs, and in presence, where each node needs its own. Default: the host's name in logs only."`
	Rooms         []string        `name:"allow-rooms" env:"ALLOW_ROOMS" help:"Topics beside room:lobby that everybody may join; a trailing * is a wildcard."`
	QueueBytes    int             `env:"QUEUE_BYTES" default:"1048576" help:"What may wait to be written to one client, in bytes."`
	DrainTimeout  time.Duration   `env:"DRAIN_TIMEOUT" default:"30s" help:"How long a stop may take."`
	LogLevel      slog.Level      `env:"LOG_LEVEL" default:"info" help:"debug, info, warn or error."`
	LogFormat     string          `env:"LOG_FORMAT" enum:"text,json" default:"text" help:"text or json."`
	JWT           jwtSettings     `embed:"" prefix:"jwt-" envprefix:"JWT_"`
	Admin         adminSettings   `embed:""`
	Webhook       webhookSettings `embed:""`

	PresenceGrace       time.Duration `env:"PRESENCE_GRACE" default:"0s" help:"How long a user who has left a room is still shown, so that nobody sees who comes back."`
	PresenceLeftWebhook string        `env:"PRESENCE_LEFT_WEBHOOK" placeholder:"NAME" help:"Endpoint of --webhooks that departures from rooms are posted to."`
}

// jwtSettings make the server accept JSON Web Tokens beside Phoenix tokens; the
// claim sub is the user id.
type jwtSettings struct {
	Secret        string   `env:"SECRET" help:"Shared secret of HS256 tokens, at least 32 bytes."`
	PublicKeyFile string   `env:"PUBLIC_KEY_FILE" type:"existingfile" help:"PEM file of public keys (RS256, ES256, EdDSA)."`
	JWKSURL       string   `name:"jwks-url" env:"JWKS_URL" help:"Where the issuer publishes its keys."`
	JWKSFile      string   `name:"jwks-file" env:"JWKS_FILE" help:"File of keys, read again when it changes."`
	Algorithms    []string `env:"ALGORITHMS" help:"Accepted algorithms."`
	Issuer        string   `env:"ISSUER" help:"Required iss."`
	Audience      string   `env:"AUDIENCE" help:"Required aud."`
}

func (j jwtSettings) enabled() bool {
	return j.Secret != "" || j.PublicKeyFile != "" || j.JWKSURL != "" || j.JWKSFile != ""
}

// verifier is nil when no JWT setting is given.
func (j jwtSettings) verifier(ctx context.Context) (*trunkline.JWTVerifier, error) {
	if !j.enabled() {
		if j.Issuer != "" || j.Audience != "" || len(j.Algorithms) > 0 {
			return nil, errors.New("JWT_ISSUER, JWT_AUDIENCE or JWT_ALGORITHMS is set without a key: give JWT_SECRET, JWT_PUBLIC_KEY_FILE, JWT_JWKS_URL or JWT_JWKS_FILE")
		}
		return nil, nil
	}
	var pem []byte
	if j.PublicKeyFile != "" {
		var err error
		if pem, err = os.ReadFile(j.PublicKeyFile); err != nil {
			return nil, fmt.Errorf("JWT_PUBLIC_KEY_FILE: %w", err)
		}
	}
	v, err := trunkline.NewJWTVerifier(ctx, trunkline.JWTOptions{
		Secret: j.Secret, PublicKeyPEM: string(pem), JWKSURL: j.JWKSURL, JWKSFile: j.JWKSFile,
		Algorithms: j.Algorithms, Issuer: j.Issuer, Audience: j.Audience,
	})
	if err != nil {
		return nil, fmt.Errorf("JWT settings: %w", err)
	}
	return v, nil
}

func (s *serverSettings) logger() *slog.Logger {
	o := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}

// originPolicy is nil for the default.
func (s *serverSettings) originPolicy() (trunkline.OriginPolicy, error) {
	if len(s.CheckOrigin) == 0 {
		return nil, nil
	}
	if len(s.CheckOrigin) == 1 && s.CheckOrigin[0] == "any" {
		return trunkline.AnyOrigin(), nil
	}
	p, err := trunkline.AllowOrigins(s.CheckOrigin...)
	if err != nil {
		return nil, fmt.Errorf("CHECK_ORIGIN: %w", err)
	}
	return p, nil
}

// roomAllowed applies ALLOW_ROOMS.
func (s *serverSettings) roomAllowed(topic string) bool {
	for _, pattern := range s.Rooms {
		prefix, wildcard := strings.CutSuffix(pattern, "*")
		if topic == pattern || (wildcard && strings.HasPrefix(topic, prefix)) {
			return true
		}
	}
	return false
}
