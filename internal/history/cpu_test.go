package history

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A cpuMeter adds up the processor time that this process and those of Postgres
// take, which on a machine with other work tells more than the clock.
type cpuMeter struct {
	conn                      *pgx.Conn
	own, postgres             time.Duration
	ownBefore, postgresBefore time.Duration
}

// start begins a stretch that counts.
func (m *cpuMeter) start(t testing.TB) {
	m.ownBefore, m.postgresBefore = ownCPU(t), postgresCPU(t, m.conn)
}

// stop ends it.
func (m *cpuMeter) stop(t testing.TB) {
	m.own += ownCPU(t) - m.ownBefore
	m.postgres += postgresCPU(t, m.conn) - m.postgresBefore
}

func ownCPU(t testing.TB) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// postgresCPU is the time of all of the server's processes that live now. It is
// 0 where they are on another machine.
func postgresCPU(t testing.TB, conn *pgx.Conn) (total time.Duration) {
	t.Helper()
	const tick = 10 * time.Millisecond // USER_HZ is 100 everywhere
	rows, err := conn.Query(context.Background(), "select pid from pg_stat_activity")
	if err != nil {
		t.Fatal(err)
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		for _, field := range strings.Fields(rest)[11:13] { // utime, stime
			ticks, err := strconv.Atoi(field)
			if err != nil {
				t.Fatalf("/proc/%d/stat: %v", pid, err)
			}
			total += time.Duration(ticks) * tick
		}
	}
	return total
}
