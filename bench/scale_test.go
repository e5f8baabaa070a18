//go:build linux

package main

import (
	"math"
	"strings"
	"testing"
)

func TestGrowth(t *testing.T) {
	t.Parallel()
	for _, want := range []float64{0, 0.5, 1, 2} {
		x := []float64{3, 30, 900}
		var y []float64
		for _, v := range x {
			y = append(y, 7*math.Pow(v, want))
		}
		if got := growth(x, y); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v, want %v", got, want)
		}
	}
	if got := growth([]float64{1, 2, 3}, []float64{0, 1, 2}); !math.IsNaN(got) {
		t.Errorf("of 0: %v", got)
	}
}

func TestGrowthTable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	growthTable(&out, "members", [3]int{10, 100, 1000}, [][]cost{{{"CPU ms", 2}}, {{"CPU ms", 20}}, {{"CPU ms", 200}}})
	want := "\n| members | 10 | 100 | 1000 | exponent |\n|---|---|---|---|---|\n| CPU ms | 2 | 20 | 200 | 1.00 |\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
