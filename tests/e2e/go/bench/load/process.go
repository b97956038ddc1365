package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is what Linux counts the time of processes in, on every architecture (USER_HZ).
const clockTick = 10 * time.Millisecond

// settling is the time that a server gets to do what it puts off, before its memory is measured.
const settling = 200 * time.Millisecond

// process is the server's, watched through Linux' /proc; without an id all figures are 0.
type process struct {
	pid int
}

// memory gives the resident set in bytes. (statm would be off by what each thread's counter has
// not handed on yet.)
func (p process) memory() (float64, error) {
	if p.pid == 0 {
		return 0, nil
	}
	time.Sleep(settling)
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(rollup)) {
		if fields := strings.Fields(line); fields[0] == "Rss:" {
			kilobytes, err := strconv.ParseFloat(fields[1], 64)
			return kilobytes * 1024, err
		}
	}
	return 0, fmt.Errorf("no Rss in %s", rollup)
}

// cpuTime is what the process has used since its start, in user and system mode.
func (p process) cpuTime() (time.Duration, error) {
	if p.pid == 0 {
		return 0, nil
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return 0, err
	}
	// The name of the program, in parentheses, may hold anything. utime and stime are the 12th
	// and 13th fields after it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	return time.Duration(user+system) * clockTick, err
}
