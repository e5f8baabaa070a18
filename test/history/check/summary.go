package main

import (
	"time"

	"github.com/trunkline/trunkline/test/history/verify"
)

// amounts are what was done, and the least of it that proves anything: an eighth
// of what should have been published, as there are faults most of the time.
func (k *check) amounts() []verify.Amount {
	due := int(k.duration.Seconds()) * k.rate / 8
	faults := int((k.duration - k.faultEvery/2) / k.faultEvery)
	amounts := []verify.Amount{
		{What: "messages acknowledged to clients", Got: k.record.amount(byClient, verify.Committed), Least: max(1, due/2)},
		{What: "messages committed by SQL", Got: k.record.amount(bySQL, verify.Committed), Least: max(1, due/3)},
		{What: "messages published by command", Got: k.record.amount(byCommand, verify.Committed), Least: max(1, int(k.duration.Seconds())/8)},
		{What: "transactions rolled back", Got: int(k.counts.rollbacks.Load()), Least: max(1, due/100)},
		{What: "messages delivered", Got: int(k.counts.delivered.Load()), Least: max(1, due)},
		// a fault takes longer than planned when what it broke recovers slowly
		{What: "faults", Got: k.saboteur.total(), Least: max(1, faults*2/3)},
	}
	if k.saboteur.total() >= len(k.saboteur.faults()) {
		amounts = append(amounts, verify.Amount{What: "reconnects of subscribers", Got: int(k.counts.reconnects.Load()), Least: 1})
		for _, f := range k.saboteur.faults() {
			amounts = append(amounts, verify.Amount{What: f.name, Got: k.saboteur.done[f.name], Least: 1})
		}
	}
	return amounts
}

// summary prints the violations, and what was done.
func (k *check) summary(run verify.Run, counted map[string]int, found []verify.Violation) {
	print := k.journal.Printf
	for _, v := range found {
		print("VIOLATION %s", v)
	}
	outcomes := []struct {
		name string
		is   verify.Outcome
	}{
		{"acknowledged", verify.Committed},
		{"rolled back", verify.RolledBack},
		{"refused", verify.Refused},
		{"of unknown outcome", verify.Unknown},
		{"never answered", verify.Unanswered},
	}
	for _, kind := range []kind{byClient, bySQL, byCommand} {
		for _, o := range outcomes {
			if n := k.record.amount(kind, o.is); n > 0 || o.is == verify.Committed {
				print("published by %s: %d %s", kind, n, o.name)
			}
		}
	}
	print("publishes repeated %d times, refused %d times", k.counts.repeats.Load(), k.counts.refusals.Load())
	print("stored: %d messages of %d topics", len(run.Rows), len(run.Topics))
	print("delivered: %d messages on %d subscriptions", k.counts.delivered.Load(), len(run.Streams))
	print("subscribers reconnected %d times, %d joins were answered with an error, %d connections given up for want of an answer",
		k.counts.reconnects.Load(), k.counts.joinErrors.Load(), k.counts.timeouts.Load())
	for _, f := range k.saboteur.faults() {
		print("faults: %d × %s", k.saboteur.done[f.name], f.name)
	}
	for _, c := range counters {
		print("servers since their last starts: %d %s", counted[c.name], c.what)
	}
	if k.recoveries.worst > 0 {
		print("worst recovery: %v, from %s", k.recoveries.worst.Round(time.Millisecond), k.recoveries.of)
	}
	print("%d violations", len(found))
}
