package main

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/trunkline/trunkline/test/history/verify"
)

// Events of the messages. Clients publish the first, transactions both.
const (
	eventMessage = "new_msg"
	eventChange  = "changed"
)

// durable are the events that a subscriber counts; others are not stored.
var durable = map[string]bool{eventMessage: true, eventChange: true}

// letters hold what JSON and UTF-8 make difficult.
var (
	letters = []rune("aZ 9\"\\/\n\t\u0001<>&é€😀\u2028")
	wide    = []rune("€😀") // make the most bytes of a character
)

// A draft is a message to be published.
type draft struct {
	topic, event string
	key          string // no other message has it
	text         string // begins with the key
	once         bool   // published without the key, so only once
}

// newDraft composes the publisher's next message.
func newDraft(publisher string, number int, topic, event string, most int) draft {
	d := draft{topic: topic, event: event, key: fmt.Sprintf("%s-%d", publisher, number)}
	d.text = d.key + " " + randomText(most-len(d.key)-1)
	return d
}

// randomText is short as a rule, and seldom longer than one notification holds.
func randomText(most int) string {
	length, of := 20+rand.IntN(180), letters
	switch n := rand.IntN(100); {
	case n < 3:
		length, of = most/2+rand.IntN(most/2), wide
	case n < 20:
		length = 200 + rand.IntN(1800)
	}
	var text strings.Builder
	text.WriteByte('.') // so that no blank is lost at the end of the key
	for range min(length, most) - 2 {
		text.WriteRune(of[rand.IntN(len(of))])
	}
	text.WriteByte('.')
	return text.String()
}

// publish is the record of the draft.
func (d draft) publish(publisher string, outcome verify.Outcome, id int64) verify.Publish {
	return verify.Publish{
		Publisher: publisher, Topic: d.topic, Event: d.event, Key: d.key,
		Text: verify.SumOf(d.text), Outcome: outcome, ID: id,
	}
}

// pick is a topic: the first one sixth of the time, so that it is a hot one.
func pick(topics []string) string {
	if oneIn(6) {
		return topics[0]
	}
	return topics[rand.IntN(len(topics))]
}
