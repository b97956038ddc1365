package main

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	pb "chatify.example/e2e/api/service/v1"
)

// outboxSize is how many messages may wait for one member before publishing waits for it.
const outboxSize = 256

// fanout sends what one member says to every member of its one group.
type fanout struct {
	pb.UnimplementedServiceServer
	mutex   sync.RWMutex
	members map[*member]struct{}
}

type member struct {
	outbox chan *pb.ChatRsp
	left   <-chan struct{}
}

func (f *fanout) Chat(stream grpc.BidiStreamingServer[pb.ChatReq, pb.ChatRsp]) error {
	ctx, leave := context.WithCancel(stream.Context())
	self := &member{make(chan *pb.ChatRsp, outboxSize), ctx.Done()}
	self.outbox <- &pb.ChatRsp{Message: "welcome"}
	f.join(self)
	defer f.remove(self)
	defer leave() // First, as publish may be waiting for this member with the lock held.

	read := make(chan error, 1)
	go func() { read <- f.publishAll(stream) }()
	for {
		select {
		case rsp := <-self.outbox:
			if err := stream.Send(rsp); err != nil {
				return err
			}
		case err := <-read:
			return err
		}
	}
}

func (f *fanout) publishAll(stream grpc.BidiStreamingServer[pb.ChatReq, pb.ChatRsp]) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f.publish(&pb.ChatRsp{Message: req.GetName()})
	}
}

func (f *fanout) join(self *member) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.members[self] = struct{}{}
}

func (f *fanout) remove(self *member) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	delete(f.members, self)
}

func (f *fanout) publish(rsp *pb.ChatRsp) {
	f.mutex.RLock()
	defer f.mutex.RUnlock()
	for to := range f.members {
		select {
		case to.outbox <- rsp:
		case <-to.left:
		}
	}
}
