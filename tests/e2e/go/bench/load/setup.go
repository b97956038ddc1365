package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	readyWithin = 20 * time.Second
	// dialling is how many connections are made at once; more would overflow a short backlog.
	dialling = 16
	// variety is how many different texts there are, so that one in the wrong place is noticed.
	variety = 1000
)

// load is the connections and streams of a run.
type load struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	opts    options
	conns   []*grpc.ClientConn
	streams []chatStream
	// members are the streams again, where they are members of rooms; those of a room follow each
	// other.
	members []*member
	texts   []string
}

// alarm says when the time is over, at little cost.
type alarm struct {
	rang atomic.Bool
}

func alarmIn(after float64) *alarm {
	over := &alarm{}
	time.AfterFunc(seconds(after), func() { over.rang.Store(true) })
	return over
}

func seconds(value float64) time.Duration {
	return time.Duration(value * float64(time.Second))
}

func micros(value time.Duration) float64 {
	return float64(value) / float64(time.Microsecond)
}

// visit makes and ends one connection with one call, but for calls, which makes its own, so that
// the server has loaded all that it needs.
func visit(
	ctx context.Context, cancel context.CancelCauseFunc, mode mode, opts options,
) error {
	opts.connections, opts.streams, opts.members = 1, 1, 1
	l, err := connect(ctx, cancel, mode, opts)
	if err != nil {
		return err
	}
	defer l.disconnect()
	return l.endStreams()
}

// connect makes the connections, and opens the streams of the mode.
func connect(
	ctx context.Context, cancel context.CancelCauseFunc, mode mode, opts options,
) (*load, error) {
	l := &load{ctx: ctx, cancel: cancel, opts: opts, texts: makeTexts(opts.size)}
	l.conns = make([]*grpc.ClientConn, opts.connections)
	places := make(chan struct{}, dialling)
	if err := l.inParallel(opts.connections, func(i int) error {
		places <- struct{}{}
		defer func() { <-places }()
		return l.dial(i)
	}); err != nil {
		l.disconnect()
		return nil, err
	}
	if mode.opens == nothing {
		return l, nil
	}
	if err := l.openStreams(mode.opens); err != nil {
		l.disconnect()
		return nil, err
	}
	return l, nil
}

func makeTexts(size int) []string {
	texts := make([]string, variety)
	for i := range texts {
		text := fmt.Sprintf("Message %07d", i)
		text = text[max(len(text)-size, 0):]
		texts[i] = text + strings.Repeat(".", size-len(text))
	}
	return texts
}

func (l *load) dial(index int) error {
	ctx, cancel := context.WithTimeout(l.ctx, readyWithin)
	defer cancel()
	security := insecure.NewCredentials()
	if l.opts.certificate != "" {
		var err error
		if security, err = credentials.NewClientTLSFromFile(l.opts.certificate, ""); err != nil {
			return err
		}
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(security)}
	if l.opts.stalled > 0 {
		options = append(options, stallable()...)
	}
	conn, err := grpc.NewClient(l.opts.addr, options...)
	if err != nil {
		return err
	}
	l.conns[index] = conn
	conn.Connect()
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		if !conn.WaitForStateChange(ctx, state) {
			return fmt.Errorf("no connection to %s within %s: %s", l.opts.addr, readyWithin, state)
		}
	}
	return nil
}

func (l *load) disconnect() {
	for _, conn := range l.conns {
		if conn != nil {
			conn.Close()
		}
	}
}

// inParallel runs work(0) to work(count-1) at once; the first error ends all calls of the load.
func (l *load) inParallel(count int, work func(index int) error) error {
	var group sync.WaitGroup
	for i := range count {
		group.Go(func() {
			if err := work(i); err != nil {
				l.cancel(err)
			}
		})
	}
	group.Wait()
	return context.Cause(l.ctx)
}
