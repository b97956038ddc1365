package main

import (
	"errors"
	"flag"
)

type options struct {
	addr        string
	certificate string
	connections int
	streams     int
	members     int
	stalled     int
	size        int
	window      int
	rate        float64
	seconds     float64
	warmup      float64
	timeout     float64
	pid         int
}

func parseOptions(name string, args []string) options {
	var opts options
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	flags.StringVar(&opts.addr, "addr", "", "HOST:PORT of the server")
	flags.StringVar(&opts.certificate, "certificate", "", "use TLS, and trust this PEM file")
	flags.IntVar(&opts.connections, "connections", 1, "connections")
	flags.IntVar(&opts.streams, "streams", 1, "streams, or calls at once, on each connection")
	flags.IntVar(&opts.members, "members", 0, "streams in each room; 0: all are in one")
	flags.IntVar(&opts.stalled, "stalled", 0, "steady: members that read nothing")
	flags.IntVar(&opts.size, "size", 15, "bytes of a message's text")
	flags.IntVar(&opts.window, "window", 16384, "messages that a sender may have on their way")
	flags.Float64Var(&opts.rate, "rate", 20, "steady: publications a second")
	flags.Float64Var(&opts.seconds, "seconds", 1, "how long to send")
	flags.Float64Var(&opts.warmup, "warmup", 0.3, "how long to send beforehand, in seconds")
	flags.Float64Var(&opts.timeout, "timeout", 120, "give up after this many seconds")
	flags.IntVar(&opts.pid, "pid", 0, "process id of the server, to measure it too (Linux)")
	_ = flags.Parse(args) // ExitOnError: Parse does not return an error.
	if err := opts.check(); err != nil {
		fail(name, err)
	}
	if opts.members == 0 {
		opts.members = opts.connections * opts.streams
	}
	return opts
}

func (o options) check() error {
	switch {
	case o.addr == "":
		return errors.New("--addr HOST:PORT is needed")
	case min(o.connections, o.streams, o.size, o.window) < 1:
		return errors.New("connections, streams, size and window are at least 1")
	case o.members < 0 || o.connections*o.streams%max(o.members, 1) != 0:
		return errors.New("members have to divide the number of all streams")
	case o.stalled < 0 || o.stalled >= o.connections*o.streams:
		return errors.New("stalled are at least 0, and fewer than there are streams")
	case o.rate <= 0:
		return errors.New("the rate is more than 0")
	}
	return nil
}
