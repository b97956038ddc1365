package main

import (
	"fmt"
	"strconv"
	"time"

	pb "chatify.example/e2e/api/service/v1"
)

// member is a stream that is a member of a room, and what it has read there.
type member struct {
	stream chatStream
	room   string
	user   string
	// offset is that of the last message it has read.
	offset uint64
	// sent is how many messages it has published.
	sent int
}

// newMember is one of so many in each room; the first of them are in the first room.
func newMember(index, members int) *member {
	return &member{
		room: fmt.Sprintf("room-%d", index/members),
		user: fmt.Sprintf("user-%d", index),
	}
}

// read gives the next message of the room, which has to follow on the one before.
func (m *member) read() (*pb.ChatRsp, error) {
	rsp, err := m.stream.Recv()
	if err != nil {
		return nil, ended(m.stream, err)
	}
	m.offset++
	if rsp.GetOffset() != m.offset {
		return nil, fmt.Errorf("in %s, offset %d stands at %d", m.room, rsp.GetOffset(), m.offset)
	}
	if rsp.GetSentAtMs() == 0 {
		return nil, fmt.Errorf("in %s, a message lacks its time: %s", m.room, rsp)
	}
	return rsp, nil
}

// publish gives the message the member's next id.
func (m *member) publish(text string) error {
	m.sent++
	if err := m.stream.Send(&pb.ChatReq{Name: text, Id: strconv.Itoa(m.sent)}); err != nil {
		return ended(m.stream, err)
	}
	return nil
}

// isOwn says whether the message is the last that the member has published.
func (m *member) isOwn(rsp *pb.ChatRsp) bool {
	return rsp.GetSender() == m.user && rsp.GetId() == strconv.Itoa(m.sent)
}

// publisher is the member of a room that publishes. They are not all on one connection.
func (l *load) publisher(room int) int {
	return room*l.opts.members + room%l.opts.members
}

// publishAndRead counts deliveries: what one member of each room publishes goes to every member
// of it, the publisher included.
func publishAndRead(l *load, over *alarm) (tally, error) {
	count := l.opts.members
	// What the publisher itself has read is no longer on its way.
	windows := make([]*window, len(l.members)/count)
	for room := range windows {
		windows[room] = newWindow(l.opts.window)
	}
	parts := make([]tally, len(l.members))
	// Of each room one more: its publisher also publishes.
	err := l.inParallel(len(l.members)+len(windows), func(i int) error {
		if room := i - len(l.members); room >= 0 {
			return l.publishAll(l.members[l.publisher(room)], windows[room], over)
		}
		read, publisher := func() {}, l.publisher(i/count)
		if i == publisher {
			read = windows[i/count].leave
		}
		return l.readRoom(l.members[i], l.members[publisher].user, read, &parts[i])
	})
	return added(parts), err
}

func (l *load) publishAll(publisher *member, window *window, over *alarm) error {
	text := ""
	for text != last {
		window.enter()
		text = l.texts[publisher.sent%variety]
		if over.rang.Load() {
			text = last
		}
		if err := publisher.publish(text); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) readRoom(m *member, publisher string, read func(), done *tally) error {
	for {
		rsp, err := m.read()
		if err != nil {
			return err
		}
		read()
		done.messages++
		if rsp.GetSender() != publisher || rsp.GetId() != strconv.FormatUint(m.offset, 10) {
			return fmt.Errorf("in %s, message %d is another's: %s", m.room, m.offset, rsp)
		}
		if rsp.GetMessage() == last {
			return nil
		}
		if want := l.texts[(m.offset-1)%variety]; rsp.GetMessage() != want {
			return wrongReply(rsp, want)
		}
	}
}

// publishInTurn counts acknowledged messages: a member's copy of its own is its acknowledgement.
func publishInTurn(l *load, over *alarm) (tally, error) {
	parts := make([]tally, len(l.members))
	err := l.inParallel(len(l.members), func(i int) error {
		m, done := l.members[i], &parts[i]
		for !over.rang.Load() || done.messages == 0 {
			start := time.Now()
			if err := m.publish(l.texts[m.sent%variety]); err != nil {
				return err
			}
			rsp, err := m.read()
			if err != nil {
				return err
			}
			if !m.isOwn(rsp) {
				return fmt.Errorf("in %s, somebody else has published: %s", m.room, rsp)
			}
			done.messages++
			done.waits = append(done.waits, time.Since(start))
		}
		return nil
	})
	return added(parts), err
}
