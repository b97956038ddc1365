package main

import (
	"fmt"

	pb "chatify.example/e2e/api/service/v1"
)

// last is the publication that ends a run; every member waits for it.
const last = "the last message"

// fanout counts deliveries: what one member publishes goes to every member, itself included.
func fanout(l *load, over *alarm) (tally, error) {
	// What the publisher itself has read is no longer on its way.
	window := newWindow(l.opts.window)
	published := make(chan error, 1)
	go func() { published <- l.publish(l.streams[0], window, over) }()

	parts := make([]tally, len(l.streams))
	if err := l.inParallel(len(l.streams), func(i int) error {
		read := func() {
			if i == 0 {
				window.leave()
			}
		}
		return l.readAll(l.streams[i], read, &parts[i])
	}); err != nil {
		return tally{}, err
	}
	return added(parts), <-published
}

func (l *load) publish(stream chatStream, window *window, over *alarm) error {
	text := ""
	for i := 0; text != last; i++ {
		window.enter()
		text = l.texts[i%variety]
		if over.rang.Load() {
			text = last
		}
		if err := stream.Send(&pb.ChatReq{Name: text}); err != nil {
			return ended(stream, err)
		}
	}
	return nil
}

func (l *load) readAll(stream chatStream, read func(), done *tally) error {
	for i := 0; ; i++ {
		rsp, err := stream.Recv()
		if err != nil {
			return ended(stream, err)
		}
		read()
		done.messages++
		if rsp.GetMessage() == last {
			return nil
		}
		if want := l.texts[i%variety]; rsp.GetMessage() != want {
			return fmt.Errorf("out of turn: %w", wrongReply(rsp, want))
		}
	}
}
