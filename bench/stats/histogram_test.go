package stats

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Quantiles are those of the sorted durations, at most 1/64 higher.
func TestHistogramAgreesWithSorting(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Hour)), 1, 200).Draw(t, "values")
		split := rapid.IntRange(0, len(values)).Draw(t, "split")
		var h, other Histogram
		for i, v := range values {
			if i < split {
				h.Add(time.Duration(v))
			} else {
				other.Add(time.Duration(v))
			}
		}
		h.Merge(&other)
		slices.Sort(values)
		if h.Count() != uint64(len(values)) || h.Max() != time.Duration(values[len(values)-1]) {
			t.Fatalf("count %d, max %v of %v", h.Count(), h.Max(), values)
		}
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		exact := values[int(q*float64(len(values)-1))]
		if got := int64(h.Quantile(q)); got < exact || float64(got) > float64(exact)*(1+1.0/subBuckets) {
			t.Fatalf("quantile %v is %d, want %d", q, got, exact)
		}
	})
}

// Each value lies in the bucket that it is counted in, up to the largest.
func TestBuckets(t *testing.T) {
	t.Parallel()
	for _, v := range []uint64{0, 1, 63, 64, 65, 127, 128, 129, 1 << 20, 1<<20 + 1, math.MaxInt64} {
		i := bucketOf(v)
		if topOf(i) < v || i > 0 && topOf(i-1) >= v || i >= buckets {
			t.Errorf("%d is in bucket %d, %d to %d", v, i, topOf(i-1)+1, topOf(i))
		}
	}
}

func TestEmptyHistogram(t *testing.T) {
	t.Parallel()
	var h Histogram
	h.Add(-time.Second)
	if h.Quantile(1) != 0 || new(Histogram).Quantile(0.5) != 0 {
		t.Error("not 0")
	}
}
