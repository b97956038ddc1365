// Command load puts load on a chat server and prints what it measured, as one JSON object.
//
//	load MODE --addr HOST:PORT [flags]
//
// The modes are
//
//	flood     every stream sends as much as it can, and reads the echoes meanwhile
//	pingpong  every stream sends a message once the echo of the one before is there
//	calls     every stream's place is taken by calls of one message, one after the other
//	fanout    one member of a group publishes, and every member reads all that was published
//	idle      the streams are open, and nothing is sent
//
// and those in which every stream is a member of a room
//
//	rooms     one member of each room publishes, and every member reads all that was published
//	publish   every member, alone in its room, publishes once its own message before came back
//	steady    one member publishes at a steady rate: how long until the others have read it
//	members   the members are there, and nothing is published
//
// Connections and streams stand, and have been used once, before the warm-up; what is measured
// goes from the first message after it to the last reply. Every reply is checked.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// A mode keeps the server busy until the time is over, and waits for all that is due.
type mode struct {
	run   func(l *load, over *alarm) (tally, error)
	opens kind
	// prepare comes before the warm-up.
	prepare func(l *load) error
}

var modes = map[string]mode{
	"flood":    {run: flood, opens: echoes},
	"pingpong": {run: pingpong, opens: echoes},
	"calls":    {run: calls, opens: nothing},
	"fanout":   {run: fanout, opens: group},
	"idle":     {opens: echoes},
	"rooms":    {run: publishAndRead, opens: rooms},
	"publish":  {run: publishInTurn, opens: rooms},
	"steady":   {run: steady, opens: rooms, prepare: stall},
	"members":  {opens: rooms},
}

func main() {
	known := slices.Sorted(maps.Keys(modes))
	if len(os.Args) < 2 || !slices.Contains(known, os.Args[1]) {
		fmt.Fprintf(os.Stderr, "usage: load MODE --addr HOST:PORT; the modes: %s\n", strings.Join(known, ", "))
		os.Exit(2)
	}
	opts := parseOptions(os.Args[1], os.Args[2:])
	figures, err := measure(modes[os.Args[1]], opts)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(figures)
	}
	if err != nil {
		fail(os.Args[1], err)
	}
}

// measure gives the figures by their names; those of the server's process only with --pid.
func measure(mode mode, opts options) (map[string]float64, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	// Not a deadline of the calls: each would have a timer for it in the server.
	timeout := time.AfterFunc(seconds(opts.timeout), func() {
		cancel(fmt.Errorf("it did not end within %g s", opts.timeout))
	})
	defer timeout.Stop()

	if err := visit(ctx, cancel, mode, opts); err != nil {
		return nil, fmt.Errorf("the first call: %w", err)
	}
	server := process{opts.pid}
	figures := map[string]float64{}
	before := server.memory()
	l, err := connect(ctx, cancel, mode, opts)
	if err != nil {
		return nil, err
	}
	defer l.disconnect()
	if opts.pid != 0 && len(l.streams) > 0 {
		grown := server.memory() - before
		figures["server_kb_per_stream"] = float64(grown) / 1024 / float64(len(l.streams))
	}
	if mode.prepare != nil {
		if err := mode.prepare(l); err != nil {
			return nil, fmt.Errorf("the preparation: %w", err)
		}
	}
	if mode.run != nil {
		if _, err := mode.run(l, alarmIn(opts.warmup)); err != nil {
			return nil, fmt.Errorf("the warm-up: %w", err)
		}
		start, busy := time.Now(), server.cpuTime()
		done, err := mode.run(l, alarmIn(opts.seconds))
		if err != nil {
			return nil, err
		}
		done.describe(figures, time.Since(start), opts.size)
		if opts.pid != 0 {
			used := server.cpuTime() - busy
			figures["server_us_per_message"] = micros(used) / float64(done.messages)
		}
	}
	return figures, l.endStreams()
}

// fail ends the program, which has nothing to clean up.
func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "load %s: %s\n", what, err)
	os.Exit(1)
}
