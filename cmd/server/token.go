package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/trunkline/trunkline/examples/chat"
	"github.com/trunkline/trunkline/internal/token"
)

type tokenCommand struct {
	Sign   tokenSignCommand   `cmd:"" help:"Sign a token whose data is a user id (a string) and print it."`
	Verify tokenVerifyCommand `cmd:"" help:"Verify a token and print its data."`
}

type tokenSettings struct {
	SecretKeyBase string `env:"SECRET_KEY_BASE" help:"Secret that tokens are signed with."`
	Salt          string `default:"${salt}" help:"Salt that the token is for."`
}

func (s tokenSettings) signer() (*token.Signer, error) {
	if s.SecretKeyBase == "" {
		return nil, errors.New("SECRET_KEY_BASE is not set: give the server's secret")
	}
	signer, err := token.New(s.SecretKeyBase, token.Options{})
	if err != nil {
		return nil, fmt.Errorf("SECRET_KEY_BASE: %w", err)
	}
	return signer, nil
}

type tokenSignCommand struct {
	tokenSettings
	MaxAge time.Duration `default:"336h" help:"Age limit that is written into the token."`
	UserID string        `arg:"" help:"The user id."`
}

// Run prints the token.
func (c *tokenSignCommand) Run() error {
	signer, err := c.signer()
	if err != nil {
		return err
	}
	t, err := signer.Sign(c.Salt, c.UserID, token.SignOptions{MaxAge: token.For(c.MaxAge)})
	if err != nil {
		return err
	}
	fmt.Println(t)
	return nil
}

type tokenVerifyCommand struct {
	tokenSettings
	MaxAge time.Duration `help:"Age limit that replaces the token's own."`
	Token  string        `arg:"" optional:"" help:"The token. Default: read from standard input."`
}

// Run prints the token's data.
func (c *tokenVerifyCommand) Run() error {
	signer, err := c.signer()
	if err != nil {
		return err
	}
	if c.Token == "" {
		in, err := io.ReadAll(io.LimitReader(os.Stdin, token.MaxTokenSize+1))
		if err != nil {
			return fmt.Errorf("token from standard input: %w", err)
		}
		c.Token = strings.TrimSpace(string(in))
	}
	var o token.VerifyOptions
	if c.MaxAge != 0 {
		o.MaxAge = token.For(c.MaxAge)
	}
	data, err := signer.Verify(c.Salt, c.Token, o)
	if err != nil {
		return err
	}
	fmt.Printf("%v\n", data)
	return nil
}

// tokenSalt is the default of --salt.
const tokenSalt = chat.TokenSalt
