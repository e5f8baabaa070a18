package webhook

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
)

// An AddressError is the refusal of an address that is not on the public
// internet.
type AddressError struct {
	Address netip.Addr
	Range   string
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("the address %v is %s: refused unless AllowPrivate (WEBHOOK_ALLOW_PRIVATE) is set", e.Address, e.Range)
}

type reserved struct {
	prefix netip.Prefix
	name   string
}

// Of the special-purpose registries of IANA, what a webhook has no business
// with.
var reserved4 = []reserved{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier-grade NAT"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"}, // a cloud's metadata
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a 6to4 relay"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved or broadcast"},
}

// Within global6. Tunnels hold an address of the other kind, which nobody here
// has checked.
var reserved6 = []reserved{
	{netip.MustParsePrefix("2001::/23"), "Teredo or reserved"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation"},
	{netip.MustParsePrefix("2002::/16"), "6to4"},
	{netip.MustParsePrefix("3fff::/20"), "documentation"},
}

// global6 is all global unicast there is. Outside of it are ::, ::1, fc00::/7,
// fe80::/10, ff00::/8, and the NAT64 prefixes 64:ff9b::/96 and 64:ff9b:1::/48.
var global6 = netip.MustParsePrefix("2000::/3")

// checkAddress refuses what is not on the public internet.
func checkAddress(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	ranges := reserved4
	if a.Is6() {
		if !global6.Contains(a) {
			return &AddressError{a, "not global"}
		}
		ranges = reserved6
	}
	for _, r := range ranges {
		if r.prefix.Contains(a) {
			return &AddressError{a, r.name}
		}
	}
	return nil
}

// checkDial is a net.Dialer's ControlContext: it sees the address that the
// connection is about to be made to, after its name was resolved.
func checkDial(_ context.Context, _, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("the address %q: %w", address, err)
	}
	return checkAddress(a.Addr())
}
