package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "chatify.example/e2e/api/service/v1"
)

type chatStream = grpc.BidiStreamingClient[pb.ChatReq, pb.ChatRsp]

// openChat uses the generated client for the method it knows; the server's other paths have no
// generated client.
func openChat(ctx context.Context, conn *grpc.ClientConn, method string) (chatStream, error) {
	if method == pb.Service_Chat_FullMethodName {
		return pb.NewServiceClient(conn).Chat(ctx)
	}
	stream, err := conn.NewStream(ctx, &pb.Service_ServiceDesc.Streams[0], method)
	if err != nil {
		return nil, err
	}
	return &grpc.GenericClientStream[pb.ChatReq, pb.ChatRsp]{ClientStream: stream}, nil
}

// send leaves an ended stream to the receiver: Send says only io.EOF, Recv has the status.
func send(stream chatStream, name string) error {
	err := stream.Send(&pb.ChatReq{Name: name})
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func receive(stream chatStream) error {
	rsp, err := stream.Recv()
	if err != nil {
		return err
	}
	reportReply(rsp.GetMessage())
	return nil
}

func receiveAll(stream chatStream) error {
	for {
		if err := receive(stream); err != nil {
			return err
		}
	}
}

func expectEnd(stream chatStream) error {
	rsp, err := stream.Recv()
	if err == nil {
		return status.Errorf(codes.DataLoss, "a reply too many: %q", rsp.GetMessage())
	}
	return err
}

// burst sends everything, half-closes, then reads to the end.
func burst(ctx context.Context, conns []*grpc.ClientConn, opts options) error {
	return sendThenReceive(ctx, conns[0], opts, 0)
}

// original is the flow of the first version's own client: a pause after each message.
func original(ctx context.Context, conns []*grpc.ClientConn, opts options) error {
	return sendThenReceive(ctx, conns[0], opts, opts.interval)
}

func sendThenReceive(
	ctx context.Context, conn *grpc.ClientConn, opts options, pause time.Duration,
) error {
	stream, err := openChat(ctx, conn, opts.method)
	if err != nil {
		return err
	}
	for _, name := range opts.names {
		if err := send(stream, name); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return receiveAll(stream)
}

// pingpong waits for each reply before the next message, and half-closes last.
func pingpong(ctx context.Context, conns []*grpc.ClientConn, opts options) error {
	return converse(ctx, conns[0], opts, slices.Values(opts.names))
}

// chat is a pingpong of the lines of stdin, so that a test decides when the next one is sent.
func chat(ctx context.Context, conns []*grpc.ClientConn, opts options) error {
	return converse(ctx, conns[0], opts, linesOf(os.Stdin))
}

func linesOf(reader io.Reader) iter.Seq[string] {
	return func(yield func(string) bool) {
		for lines := bufio.NewScanner(reader); lines.Scan(); {
			if !yield(lines.Text()) {
				return
			}
		}
	}
}

func converse(
	ctx context.Context, conn *grpc.ClientConn, opts options, names iter.Seq[string],
) error {
	stream, err := openChat(ctx, conn, opts.method)
	if err != nil {
		return err
	}
	for name := range names {
		if err := send(stream, name); err != nil {
			return err
		}
		if err := receive(stream); err != nil {
			return unexpectedEnd(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return expectEnd(stream)
}

func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return status.Error(codes.DataLoss, "the stream ended OK with a reply still due")
	}
	return err
}

// unary calls the streaming method as a method of one request and one reply.
func unary(ctx context.Context, conns []*grpc.ClientConn, opts options) error {
	if len(opts.names) != 1 {
		return fmt.Errorf("unary takes one message, not %d", len(opts.names))
	}
	rsp := &pb.ChatRsp{}
	if err := conns[0].Invoke(ctx, opts.method, &pb.ChatReq{Name: opts.names[0]}, rsp); err != nil {
		return err
	}
	reportReply(rsp.GetMessage())
	return nil
}

// cancelMidStream cancels a stream on which messages have gone both ways.
func cancelMidStream(ctx context.Context, conns []*grpc.ClientConn, opts options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := openChat(ctx, conns[0], opts.method)
	if err != nil {
		return err
	}
	if err := send(stream, opts.names[0]); err != nil {
		return err
	}
	if err := receive(stream); err != nil {
		return unexpectedEnd(err)
	}
	cancel()
	return expectEnd(stream)
}

// leaveOpen never half-closes, so that only the deadline ends the stream.
func leaveOpen(ctx context.Context, conns []*grpc.ClientConn, opts options) error {
	stream, err := openChat(ctx, conns[0], opts.method)
	if err != nil {
		return err
	}
	if err := send(stream, opts.names[0]); err != nil {
		return err
	}
	return receiveAll(stream)
}
