package verify

// Amount is how much of something was done, and the least that proves anything.
type Amount struct {
	What       string
	Got, Least int
}

// CheckWork returns a violation for each amount that is below its least.
func CheckWork(amounts []Amount) []Violation {
	var found findings
	for _, a := range amounts {
		if a.Got < a.Least {
			found.add(KindIdle, "%s: %d, at least %d are needed", a.What, a.Got, a.Least)
		}
	}
	return found
}
