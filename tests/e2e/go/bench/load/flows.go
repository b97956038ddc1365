package main

import (
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	pb "chatify.example/e2e/api/service/v1"
)

// tally is what a mode has done.
type tally struct {
	messages int
	// waits are the times from a message to its reply, where each was waited for.
	waits []time.Duration
}

func (t tally) describe(figures map[string]float64, taken time.Duration, size int) {
	figures["seconds"] = taken.Seconds()
	figures["messages"] = float64(t.messages)
	figures["per_second"] = float64(t.messages) / taken.Seconds()
	figures["megabytes_per_second"] = figures["per_second"] * float64(size) / 1e6
	if len(t.waits) > 0 {
		slices.Sort(t.waits)
		figures["p50_us"] = micros(t.waits[len(t.waits)/2])
		figures["p99_us"] = micros(t.waits[len(t.waits)*99/100])
	}
}

// added is the sum of what several streams have done.
func added(parts []tally) tally {
	var sum tally
	for _, part := range parts {
		sum.messages += part.messages
		sum.waits = append(sum.waits, part.waits...)
	}
	return sum
}

func flood(l *load, over *alarm) (tally, error) {
	parts := make([]tally, len(l.streams))
	err := l.inParallel(len(l.streams), func(i int) error {
		return l.floodStream(l.streams[i], over, &parts[i])
	})
	return added(parts), err
}

func (l *load) floodStream(stream chatStream, over *alarm, done *tally) error {
	// Known before the last message leaves, so that no reply is waited for that is not due.
	var due atomic.Int64
	window := newWindow(l.opts.window)
	sent := make(chan error, 1)
	go func() {
		var err error
		for i := int64(0); err == nil && due.Load() == 0; i++ {
			window.enter()
			if over.rang.Load() {
				due.Store(i + 1)
			}
			err = stream.Send(&pb.ChatReq{Name: l.texts[i%variety]})
		}
		sent <- err
	}()
	for i := int64(0); i == 0 || i != due.Load(); i++ {
		if err := l.expectEcho(stream, l.texts[i%variety]); err != nil {
			return err
		}
		window.leave()
		done.messages++
	}
	return <-sent
}

func (l *load) expectEcho(stream chatStream, text string) error {
	rsp, err := stream.Recv()
	if err != nil {
		return ended(stream, err)
	}
	const prefix = "Hello "
	got := rsp.GetMessage()
	if len(got) != len(prefix)+len(text) || got[:len(prefix)] != prefix || got[len(prefix):] != text {
		return wrongReply(rsp, prefix+text)
	}
	return nil
}

func pingpong(l *load, over *alarm) (tally, error) {
	parts := make([]tally, len(l.streams))
	err := l.inParallel(len(l.streams), func(i int) error {
		stream, done := l.streams[i], &parts[i]
		for !over.rang.Load() || done.messages == 0 {
			start := time.Now()
			if err := l.echo(stream, l.texts[done.messages%variety]); err != nil {
				return err
			}
			done.messages++
			done.waits = append(done.waits, time.Since(start))
		}
		return nil
	})
	return added(parts), err
}

func (l *load) echo(stream chatStream, text string) error {
	if err := stream.Send(&pb.ChatReq{Name: text}); err != nil {
		return ended(stream, err)
	}
	return l.expectEcho(stream, text)
}

// calls has as many workers as there would be streams.
func calls(l *load, over *alarm) (tally, error) {
	parts := make([]tally, l.opts.connections*l.opts.streams)
	err := l.inParallel(len(parts), func(i int) error {
		conn, done := l.conns[i%len(l.conns)], &parts[i]
		for !over.rang.Load() || done.messages == 0 {
			start := time.Now()
			if err := l.call(conn, l.texts[done.messages%variety]); err != nil {
				return err
			}
			done.messages++
			done.waits = append(done.waits, time.Since(start))
		}
		return nil
	})
	return added(parts), err
}

func (l *load) call(conn *grpc.ClientConn, text string) error {
	stream, err := l.open(conn, echoes)
	if err != nil {
		return err
	}
	if err := l.echo(stream, text); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return expectEnd(stream)
}
