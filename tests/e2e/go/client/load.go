package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "chatify.example/e2e/api/service/v1"
)

// many sends from one goroutine and receives in another, as a busy chat client does; it checks
// each reply itself and reports only their number.
func many(ctx context.Context, conns []*grpc.ClientConn, opts options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := openChat(ctx, conns[0], opts.method)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		for _, name := range opts.names {
			if err := send(stream, name); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	if err := receiveExactly(stream, opts.names); err != nil {
		return err
	}
	report("replies", map[string]any{"count": len(opts.names)})
	return <-sent
}

// receiveExactly wants the default reply to each name, in order, and then the end.
func receiveExactly(stream chatStream, names []string) error {
	for i, name := range names {
		if err := receiveReplyTo(stream, i, name); err != nil {
			return err
		}
	}
	if err := expectEnd(stream); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func receiveReplyTo(stream chatStream, index int, name string) error {
	rsp, err := stream.Recv()
	if err != nil {
		return unexpectedEnd(err)
	}
	if want := "Hello " + name; rsp.GetMessage() != want {
		return status.Errorf(codes.DataLoss, "reply %d is %q, not %q", index, rsp.GetMessage(), want)
	}
	return nil
}

// parallel holds every stream open, with a message answered on each, before it lets any of them
// go on.
func parallel(ctx context.Context, conns []*grpc.ClientConn, opts options) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var open, done sync.WaitGroup
	open.Add(opts.streams)
	for i := range opts.streams {
		conn := conns[i%len(conns)]
		done.Go(func() {
			if err := chatOnce(ctx, conn, opts, i, &open); err != nil {
				cancel(err)
			}
		})
	}
	done.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	report("streams", map[string]any{"count": opts.streams, "replies": opts.streams * opts.count})
	return nil
}

func chatOnce(
	ctx context.Context, conn *grpc.ClientConn, opts options, index int, open *sync.WaitGroup,
) error {
	first := sync.OnceFunc(open.Done)
	defer first() // A stream that failed must not keep the others waiting.

	stream, err := openChat(ctx, conn, opts.method)
	if err != nil {
		return err
	}
	names := make([]string, opts.count)
	for i := range names {
		names[i] = fmt.Sprintf("stream %d message %d", index, i)
	}
	for i, name := range names {
		if err := stream.Send(&pb.ChatReq{Name: name}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := receiveReplyTo(stream, i, name); err != nil {
			return err
		}
		first()
		open.Wait()
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if err := expectEnd(stream); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
