package golden

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Placeholders of values that the server makes up.
var volatilePlaceholder = regexp.MustCompile(`^\$(phx_ref|lp_token)\d*$`)

// repeated stands for one letter many times: <<x*3000>>.
var repeated = regexp.MustCompile(`<<(.)\*(\d+)>>`)

// bindings hold what the placeholders of one replay stand for.
type bindings struct {
	values map[string]string // by placeholder
}

func newBindings() *bindings { return &bindings{values: map[string]string{}} }

func (b *bindings) clone() *bindings { return &bindings{values: maps.Clone(b.values)} }

// bindToken makes a minted token known as name, and in standard base64 without
// padding as $b64_ and the name.
func (b *bindings) bindToken(name, token string) {
	b.values[name] = token
	b.values["$b64_"+strings.TrimPrefix(name, "$")] = base64.RawStdEncoding.EncodeToString([]byte(token))
}

// expand puts values in the place of the bound placeholders, longer names
// first, and writes out repetitions.
func (b *bindings) expand(text string) string {
	for _, name := range longestFirst(maps.Keys(b.values)) {
		text = strings.ReplaceAll(text, name, b.values[name])
	}
	return expandRepeated(text)
}

func expandRepeated(text string) string {
	return repeated.ReplaceAllStringFunc(text, func(match string) string {
		parts := repeated.FindStringSubmatch(match)
		count, err := strconv.Atoi(parts[2])
		if err != nil {
			return match
		}
		return strings.Repeat(parts[1], count)
	})
}

// match compares a recorded string with a received one. A placeholder takes
// the value that it meets first and must meet the same value from then on; two
// placeholders never share a value.
func (b *bindings) match(want, got string) error {
	if !volatilePlaceholder.MatchString(want) {
		if text := b.expand(want); text != got {
			return fmt.Errorf("expected %q, got %q", excerpt([]byte(text)), excerpt([]byte(got)))
		}
		return nil
	}
	if bound, ok := b.values[want]; ok {
		if bound != got {
			return fmt.Errorf("expected %s to be %q as before, got %q", want, bound, got)
		}
		return nil
	}
	if got == "" {
		return fmt.Errorf("expected a value for %s, got an empty string", want)
	}
	for name, value := range b.values {
		if value == got {
			return fmt.Errorf("expected a new value for %s, got that of %s: %q", want, name, got)
		}
	}
	b.values[want] = got
	return nil
}

// withPlaceholders returns the steps with volatile values replaced by their
// placeholders. Values that the client itself sends are no secret of the
// server's and stay.
func (o Outcome) withPlaceholders() []Step {
	volatile := maps.Clone(o.Volatile)
	for value := range volatile {
		for _, step := range o.Steps {
			if step.Op == "send" && step.Text != nil && strings.Contains(*step.Text, strconv.Quote(value)) {
				delete(volatile, value)
			}
		}
	}
	values := longestFirst(maps.Keys(volatile))
	replace := func(text string) string {
		for _, value := range values {
			text = strings.ReplaceAll(text, value, volatile[value])
		}
		return text
	}
	steps := slices.Clone(o.Steps)
	for i, step := range steps {
		steps[i].Path = replace(step.Path)
		if step.Text != nil {
			text := replace(*step.Text)
			steps[i].Text = &text
		}
		if step.Body != nil {
			body := replace(*step.Body)
			steps[i].Body = &body
		}
		if step.Response != nil {
			response := *step.Response
			response.Body = replace(response.Body)
			steps[i].Response = &response
		}
	}
	return steps
}

func longestFirst(names func(yield func(string) bool)) []string {
	return slices.SortedFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
}
