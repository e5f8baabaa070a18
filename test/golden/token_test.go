package golden

import (
	"testing"
	"time"
)

func TestMintTokenMatchesPlugCrypto(t *testing.T) {
	t.Parallel()
	const minted = "SFMyNTY.g2gDbQAAAAd1c2VyLTQybgYAAGxQxKABYgABUYA.d4fzjkSlKsKqIB2lSPCIDt11_DuTCDkrh4sQtHPIWQ4"
	got, err := mintToken(FixtureSecret, "user socket", "user-42", time.UnixMilli(1790000000000))
	if err != nil {
		t.Fatal(err)
	}
	if got != minted {
		t.Errorf("got %s, Phoenix minted %s", got, minted)
	}
}
