package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// settling is the time that a server gets to do what it puts off, before its memory is measured.
const settling = 200 * time.Millisecond

// process is the server's, watched through Linux' /proc; without an id all its figures are 0.
type process struct {
	pid int
}

// memory gives the bytes that are resident. (statm would be off by what each thread has not yet
// handed on to the common count.)
func (p process) memory() int {
	if p.pid == 0 {
		return 0
	}
	time.Sleep(settling)
	for line := range strings.Lines(p.read("smaps_rollup")) {
		if fields := strings.Fields(line); fields[0] == "Rss:" {
			return p.number(fields[1]) * 1024
		}
	}
	fail("memory", errors.New("smaps_rollup has no Rss"))
	return 0
}

// cpuTime is what the threads of the process have used so far, to the nanosecond. (stat would count
// it in steps of 10 ms.)
func (p process) cpuTime() time.Duration {
	if p.pid == 0 {
		return 0
	}
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.pid))
	total := 0
	for _, thread := range threads {
		used, _, _ := strings.Cut(p.read("task/"+thread.Name()+"/schedstat"), " ")
		total += p.number(used)
	}
	return time.Duration(total)
}

func (p process) read(file string) string {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.pid, file))
	if err != nil {
		fail("--pid", err)
	}
	return string(content)
}

func (p process) number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		fail("--pid", err)
	}
	return value
}
