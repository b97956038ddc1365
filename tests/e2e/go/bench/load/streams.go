package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	pb "chatify.example/e2e/api/service/v1"
)

// kind is what the streams of a mode are.
type kind int

const (
	// nothing: the mode opens its own.
	nothing kind = iota
	// echoes are streams of the Chat method.
	echoes
	// group is the one group that every server's fan-out has.
	group
	// rooms are rooms, of which each stream is a member.
	rooms
)

const (
	// opening is how many streams are opened at once; grpcio refuses some where 1000 wait.
	opening    = 100
	fanoutPath = "/bench.Fanout/Chat"
	roomsPath  = "/bench.Rooms/Chat"
	greeting   = "welcome"
)

type chatStream = grpc.BidiStreamingClient[pb.ChatReq, pb.ChatRsp]

// openStreams returns once the server has said something on each: its headers, its greeting, or
// an echo.
func (l *load) openStreams(kind kind) error {
	for range l.opts.streams {
		for conns := range slices.Chunk(l.conns, opening) {
			begin := len(l.streams)
			for _, conn := range conns {
				stream, err := l.open(conn, kind)
				if err != nil {
					return err
				}
				l.streams = append(l.streams, stream)
			}
			if err := l.use(l.streams[begin:], kind); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *load) open(conn *grpc.ClientConn, kind kind) (chatStream, error) {
	switch kind {
	case group:
		return openAt(l, conn, fanoutPath)
	case rooms:
		member := newMember(len(l.members), l.opts.members)
		stream, err := openAt(l, conn, roomsPath, "chat-room", member.room, "chat-user", member.user)
		member.stream = stream
		l.members = append(l.members, member)
		return stream, err
	default:
		return pb.NewServiceClient(conn).Chat(l.ctx)
	}
}

// openAt calls the Chat method under another name, with keys and values of metadata.
func openAt(l *load, conn *grpc.ClientConn, path string, pairs ...string) (chatStream, error) {
	ctx := metadata.AppendToOutgoingContext(l.ctx, pairs...)
	stream, err := conn.NewStream(ctx, &pb.Service_ServiceDesc.Streams[0], path)
	if err != nil {
		return nil, err
	}
	return &grpc.GenericClientStream[pb.ChatReq, pb.ChatRsp]{ClientStream: stream}, nil
}

func (l *load) use(streams []chatStream, kind kind) error {
	if kind == rooms {
		return useHeaders(streams)
	}
	want := greeting
	if kind == echoes {
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

// useHeaders waits for the headers, which say that the stream is a member of its room.
func useHeaders(streams []chatStream) error {
	for _, stream := range streams {
		headers, err := stream.Header()
		if err == nil && headers == nil { // It has ended without any.
			_, err = stream.Recv()
		}
		if err != nil {
			return ended(stream, err)
		}
	}
	return nil
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
