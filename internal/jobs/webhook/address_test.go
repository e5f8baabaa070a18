package webhook

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, public := range map[string]bool{
		"1.1.1.1": true, "9.255.255.255": true, "11.0.0.0": true, "100.63.255.255": true, "100.128.0.0": true,
		"172.15.255.255": true, "172.32.0.0": true, "192.167.255.255": true, "192.169.0.0": true, "223.255.255.255": true,
		"2606:4700:4700::1111": true, "2a00::1": true, "::ffff:1.1.1.1": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "100.64.0.1": false, "100.127.255.255": false,
		"127.0.0.1": false, "127.255.255.254": false, "169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.0.0.1": false, "192.0.2.1": false, "192.88.99.1": false, "192.168.255.255": false, "198.19.255.255": false,
		"198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false,
		"255.255.255.255": false,

		"::": false, "::1": false, "::127.0.0.1": false, "::1.1.1.1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false,
		"::ffff:169.254.169.254": false, "64:ff9b::7f00:1": false, "64:ff9b::101:101": false, "64:ff9b:1::1": false,
		"100::1": false, "2001::1": false, "2001:db8::1": false, "2002:7f00:1::": false, "3fff::1": false,
		"fc00::1": false, "fd00:ec2::254": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "ff02::1": false,
	} {
		err := checkAddress(netip.MustParseAddr(address))
		if (err == nil) != public {
			t.Errorf("%s: %v, want public %v", address, err, public)
		}
		var refused *AddressError
		if err != nil && !errors.As(err, &refused) {
			t.Errorf("%s: %T", address, err)
		}
	}
}

// Whatever the standard library calls special is refused, also as an IPv4
// address within an IPv6 one.
func TestAddressesAgreeWithNetip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var a netip.Addr
		if bytes := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes"); rapid.Bool().Draw(t, "IPv4") {
			a = netip.AddrFrom4([4]byte(bytes))
		} else {
			a = netip.AddrFrom16([16]byte(bytes))
		}
		special := a.IsPrivate() || a.IsLoopback() || !a.IsGlobalUnicast()
		if special && checkAddress(a) == nil {
			t.Errorf("%v is not refused", a)
		}
		if a.Is4() {
			mapped := netip.AddrFrom16(a.As16())
			if (checkAddress(a) == nil) != (checkAddress(mapped) == nil) {
				t.Errorf("%v and %v are judged differently", a, mapped)
			}
		}
	})
}

// The check is made where the connection is: a name, and a proxy of the
// environment, lead to nothing else.
func TestPrivateAddressIsNotDialled(t *testing.T) {
	var asked atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer receiver.Close()
	t.Setenv("HTTP_PROXY", receiver.URL)
	t.Setenv("HTTPS_PROXY", receiver.URL)
	_, port, _ := strings.Cut(receiver.Listener.Addr().String(), ":")
	for _, url := range []string{"http://localhost:" + port, "https://localhost:" + port} {
		e, err := newEndpoint("it", Endpoint{URL: url, Secret: secret})
		if err != nil {
			t.Fatal(err)
		}
		var refused *AddressError
		if err := e.post(t.Context(), "msg_1", []byte("{}")); !errors.As(err, &refused) || !refused.Address.IsLoopback() {
			t.Errorf("%s: %v, want a refusal", url, err)
		}
	}
	if asked.Load() != 0 {
		t.Error("the receiver was asked")
	}
	for _, url := range []string{"http://127.0.0.1", "http://[::1]:80/x", "http://[::ffff:10.0.0.1]", "https://169.254.169.254/latest"} {
		if _, err := newEndpoint("it", Endpoint{URL: url, Secret: secret}); err == nil {
			t.Errorf("%s was taken", url)
		}
	}
}
