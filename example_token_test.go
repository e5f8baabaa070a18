package trunkline_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/trunkline/trunkline"
)

// Tokens are those of Phoenix.Token with the same secret and salt; signing
// needs no database.
func ExampleServer_VerifyUserToken() {
	srv := newServer("postgres://localhost/app")
	token, err := srv.SignToken("user socket", "alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	user, err := srv.VerifyUserToken("user socket", token, time.Hour)
	fmt.Println(user, err)

	_, err = srv.VerifyUserToken("another salt", token, time.Hour)
	fmt.Println(errors.Is(err, trunkline.ErrTokenInvalid))
	// Output:
	// alice <nil>
	// true
}

// A socket that browsers may connect to from two sites.
func ExampleAllowOrigins() {
	_, err := trunkline.AllowOrigins("https://app.example", "//*.app.example")
	fmt.Println(err)
	_, err = trunkline.AllowOrigins("app.example")
	fmt.Println(err)
	// Output:
	// <nil>
	// allowed origin "app.example": want "//host", "scheme://host" or "scheme://host:port"
}
