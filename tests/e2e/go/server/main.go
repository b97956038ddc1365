// Command server is a grpc-go chat service for the project's own client to call. It prints
// "listening on HOST:PORT" once it accepts and stops gracefully at SIGTERM.
//
// Three names are special: "fail" ends the stream with INVALID_ARGUMENT and an ErrorInfo,
// "context" is answered with what came with the call, as JSON, and "trailers" sets trailers and
// is answered like any other.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // answers as it was asked
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "chatify.example/e2e/api/service/v1"
)

// A stream a test left open must not keep the process alive.
const grace = 2 * time.Second

type chatService struct {
	pb.UnimplementedServiceServer
}

func (chatService) Chat(stream grpc.BidiStreamingServer[pb.ChatReq, pb.ChatRsp]) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		reply := "Hello " + req.GetName()
		switch req.GetName() {
		case "fail":
			return badName(req.GetName())
		case "context":
			reply = describe(stream.Context())
		case "trailers":
			stream.SetTrailer(metadata.Pairs("chat-trailer", "set", "chat-trailer-bin", "設定 \x00"))
		}
		if err := stream.Send(&pb.ChatRsp{Message: reply}); err != nil {
			return err
		}
	}
}

// describe tells of the metadata only what the tests send, which is "x-plain" and "x-name-bin".
func describe(ctx context.Context) string {
	_, hasDeadline := ctx.Deadline()
	text, err := json.Marshal(map[string]any{
		"x-plain":    metadata.ValueFromIncomingContext(ctx, "x-plain"),
		"x-name-bin": metadata.ValueFromIncomingContext(ctx, "x-name-bin"),
		"deadline":   hasDeadline,
	})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func badName(name string) error {
	st, err := status.New(codes.InvalidArgument, "名字不好 bad name").WithDetails(&errdetails.ErrorInfo{
		Reason:   "BAD_NAME",
		Domain:   "chatify.example",
		Metadata: map[string]string{"name": name},
	})
	if err != nil {
		return err
	}
	return st.Err()
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterServiceServer(server, chatService{})

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-stop
		defer time.AfterFunc(grace, server.Stop).Stop()
		server.GracefulStop()
	}()

	fmt.Printf("listening on %s\n", listener.Addr())
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
