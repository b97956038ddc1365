package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "chatify.example/e2e/api/service/v1"
)

// rooms are chat rooms: each stream is a member of the one that its metadata names.
type rooms struct {
	pb.UnimplementedServiceServer
	mutex  sync.Mutex
	byName map[string]*room
}

// room gives its messages their offsets, and to all members in that order.
type room struct {
	mutex   sync.Mutex
	offset  uint64
	members map[*member]struct{}
}

func (r *rooms) Chat(stream grpc.BidiStreamingServer[pb.ChatReq, pb.ChatRsp]) error {
	headers, _ := metadata.FromIncomingContext(stream.Context())
	name, user := headers.Get("chat-room"), headers.Get("chat-user")
	if len(name) != 1 || len(user) != 1 {
		return status.Error(codes.InvalidArgument, "chat-room and chat-user are needed")
	}
	ctx, leave := context.WithCancel(stream.Context())
	self := &member{make(chan *pb.ChatRsp, outboxSize), ctx.Done()}
	room := r.named(name[0])
	room.join(self)
	defer room.remove(self)
	defer leave() // First, as publish may be waiting for this member with the lock held.
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	read := make(chan error, 1)
	go func() { read <- room.publishAll(stream, user[0]) }()
	for {
		select {
		case rsp := <-self.outbox:
			if err := stream.Send(rsp); err != nil {
				return err
			}
		case err := <-read:
			if err != nil {
				return err
			}
			return self.sendRest(stream)
		}
	}
}

func (r *rooms) named(name string) *room {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	found, ok := r.byName[name]
	if !ok {
		found = &room{members: map[*member]struct{}{}}
		r.byName[name] = found
	}
	return found
}

func (r *room) publishAll(
	stream grpc.BidiStreamingServer[pb.ChatReq, pb.ChatRsp], user string,
) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		r.publish(&pb.ChatRsp{Message: req.GetName(), Sender: user, Id: req.GetId()})
	}
}

func (r *room) publish(rsp *pb.ChatRsp) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.offset++
	rsp.Offset, rsp.SentAtMs = r.offset, time.Now().UnixMilli()
	for to := range r.members {
		select {
		case to.outbox <- rsp:
		case <-to.left:
		}
	}
}

func (r *room) join(self *member) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.members[self] = struct{}{}
}

func (r *room) remove(self *member) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	delete(r.members, self)
}

// sendRest sends what waits, all that the member itself has published included.
func (m *member) sendRest(stream grpc.BidiStreamingServer[pb.ChatReq, pb.ChatRsp]) error {
	for {
		select {
		case rsp := <-m.outbox:
			if err := stream.Send(rsp); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}
