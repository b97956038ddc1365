package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	pb "chatify.example/e2e/api/service/v1"
)

const (
	readyWithin = 20 * time.Second
	// dialling is how many connections are made at once; more would overflow a short backlog.
	dialling = 16
	// opening is how many streams are opened at once; grpcio refuses some where 1000 wait.
	opening    = 100
	fanoutPath = "/bench.Fanout/Chat"
	greeting   = "welcome"
	// variety is how many different texts there are, so that one in the wrong place is noticed.
	variety = 1000
)

type chatStream = grpc.BidiStreamingClient[pb.ChatReq, pb.ChatRsp]

// load is the connections and streams of a run.
type load struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	opts    options
	conns   []*grpc.ClientConn
	streams []chatStream
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
	ctx context.Context, cancel context.CancelCauseFunc, mode string, opts options,
) error {
	opts.connections, opts.streams = 1, 1
	l, err := connect(ctx, cancel, mode, opts)
	if err != nil {
		return err
	}
	defer l.disconnect()
	return l.endStreams()
}

// connect makes the connections, and opens all streams but those that calls opens itself.
func connect(
	ctx context.Context, cancel context.CancelCauseFunc, mode string, opts options,
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
	if mode == "calls" {
		return l, nil
	}
	if err := l.openStreams(mode == "fanout"); err != nil {
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
	conn, err := grpc.NewClient(l.opts.addr, grpc.WithTransportCredentials(security))
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

// openStreams returns once the server has said something on each: its greeting, or an echo.
func (l *load) openStreams(greeted bool) error {
	for range l.opts.streams {
		for conns := range slices.Chunk(l.conns, opening) {
			var opened []chatStream
			for _, conn := range conns {
				stream, err := l.open(conn, greeted)
				if err != nil {
					return err
				}
				opened = append(opened, stream)
			}
			if err := l.use(opened, greeted); err != nil {
				return err
			}
			l.streams = append(l.streams, opened...)
		}
	}
	return nil
}

func (l *load) use(streams []chatStream, greeted bool) error {
	want := greeting
	if !greeted {
		want = "Hello " + l.texts[0]
		for _, stream := range streams {
			if err := stream.Send(&pb.ChatReq{Name: l.texts[0]}); err != nil {
				return ended(stream, err)
			}
		}
	}
	for _, stream := range streams {
		rsp, err := stream.Recv()
		if err != nil {
			return ended(stream, err)
		}
		if rsp.GetMessage() != want {
			return wrongReply(rsp, want)
		}
	}
	return nil
}

func (l *load) open(conn *grpc.ClientConn, fanout bool) (chatStream, error) {
	if !fanout {
		return pb.NewServiceClient(conn).Chat(l.ctx)
	}
	stream, err := conn.NewStream(l.ctx, &pb.Service_ServiceDesc.Streams[0], fanoutPath)
	if err != nil {
		return nil, err
	}
	return &grpc.GenericClientStream[pb.ChatReq, pb.ChatRsp]{ClientStream: stream}, nil
}

// endStreams half-closes every stream and wants it to end OK.
func (l *load) endStreams() error {
	for _, stream := range l.streams {
		if err := stream.CloseSend(); err != nil {
			return err
		}
	}
	for _, stream := range l.streams {
		if err := expectEnd(stream); err != nil {
			return err
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

// ended gives the status of a stream of which Send says only that it has ended.
func ended(stream chatStream, err error) error {
	if errors.Is(err, io.EOF) {
		if _, err = stream.Recv(); errors.Is(err, io.EOF) {
			return errors.New("the server has ended the stream")
		}
	}
	return err
}

func expectEnd(stream chatStream) error {
	rsp, err := stream.Recv()
	if err == nil {
		return fmt.Errorf("a reply too many: %q", rsp.GetMessage())
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func wrongReply(rsp *pb.ChatRsp, want string) error {
	const most = 80
	got := rsp.GetMessage()
	return fmt.Errorf("a reply is %.*q, not %.*q", most, got, most, want)
}
