// Package webhook posts events to HTTP endpoints, signed as Standard Webhooks
// (https://www.standardwebhooks.com) asks.
//
// It owns the River worker of the kind trunkline_webhook, the rules of which
// answers are tried again, and the rule of which addresses may be dialled. It
// imports River and the signing library, and nothing of this module.
//
// Invariants:
//   - A job holds the name of an endpoint. Its URL and its secrets are known to
//     the configuration alone: neither the database nor a log gets them.
//   - The id of an event, its body and so its meaning are the same at every
//     attempt; the time in the headers and the signature are the attempt's.
//   - The address that is dialled is the one that was checked: no name is
//     resolved twice, no redirect is followed and no proxy is asked.
//   - Every attempt ends within its endpoint's timeout, whatever the receiver
//     does.
package webhook
