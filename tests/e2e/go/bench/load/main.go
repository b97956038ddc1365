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
// Connections and streams stand, and have been used once, before the warm-up; what is measured
// goes from the first message after it to the last reply. Every reply is checked.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

type options struct {
	addr        string
	certificate string
	connections int
	streams     int
	size        int
	window      int
	seconds     float64
	warmup      float64
	timeout     float64
	pid         int
}

// A mode keeps the server busy until the time is over, and waits for all that is due.
type mode func(l *load, over *alarm) (tally, error)

var modes = map[string]mode{
	"flood":    flood,
	"pingpong": pingpong,
	"calls":    calls,
	"fanout":   fanout,
	"idle":     nil,
}

func main() {
	known := slices.Sorted(maps.Keys(modes))
	if len(os.Args) < 2 || !slices.Contains(known, os.Args[1]) {
		fmt.Fprintf(os.Stderr, "usage: load MODE --addr HOST:PORT; the modes: %s\n", strings.Join(known, ", "))
		os.Exit(2)
	}
	opts := parseOptions(os.Args[1], os.Args[2:])
	figures, err := measure(os.Args[1], opts)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(figures)
	}
	if err != nil {
		fail(os.Args[1], err)
	}
}

func parseOptions(name string, args []string) options {
	var opts options
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	flags.StringVar(&opts.addr, "addr", "", "HOST:PORT of the server")
	flags.StringVar(&opts.certificate, "certificate", "", "use TLS, and trust this PEM file")
	flags.IntVar(&opts.connections, "connections", 1, "connections")
	flags.IntVar(&opts.streams, "streams", 1, "streams, or calls at once, on each connection")
	flags.IntVar(&opts.size, "size", 15, "bytes of a message's text")
	flags.IntVar(&opts.window, "window", 16384, "messages that a sender may have on their way")
	flags.Float64Var(&opts.seconds, "seconds", 1, "how long to send")
	flags.Float64Var(&opts.warmup, "warmup", 0.3, "how long to send beforehand, in seconds")
	flags.Float64Var(&opts.timeout, "timeout", 120, "give up after this many seconds")
	flags.IntVar(&opts.pid, "pid", 0, "process id of the server, to measure it too (Linux)")
	_ = flags.Parse(args) // ExitOnError: Parse does not return an error.
	if opts.addr == "" {
		fail(name, errors.New("--addr HOST:PORT is needed"))
	}
	if min(opts.connections, opts.streams, opts.size, opts.window) < 1 {
		fail(name, errors.New("connections, streams, size and window are at least 1"))
	}
	return opts
}

// measure gives the figures by their names; those of the server's process only with --pid.
func measure(name string, opts options) (map[string]float64, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	// Not a deadline of the calls: each would have a timer for it in the server.
	timeout := time.AfterFunc(seconds(opts.timeout), func() {
		cancel(fmt.Errorf("it did not end within %g s", opts.timeout))
	})
	defer timeout.Stop()

	if err := visit(ctx, cancel, name, opts); err != nil {
		return nil, fmt.Errorf("the first call: %w", err)
	}
	server := process{opts.pid}
	figures := map[string]float64{}
	before := server.memory()
	l, err := connect(ctx, cancel, name, opts)
	if err != nil {
		return nil, err
	}
	defer l.disconnect()
	if opts.pid != 0 && len(l.streams) > 0 {
		grown := server.memory() - before
		figures["server_kb_per_stream"] = float64(grown) / 1024 / float64(len(l.streams))
	}
	if run := modes[name]; run != nil {
		if _, err := run(l, alarmIn(opts.warmup)); err != nil {
			return nil, fmt.Errorf("the warm-up: %w", err)
		}
		start, busy := time.Now(), server.cpuTime()
		done, err := run(l, alarmIn(opts.seconds))
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
