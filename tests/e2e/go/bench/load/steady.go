package main

import (
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
)

// stallWindow is how many bytes are sent to a stream that reads nothing; no peer takes fewer.
const stallWindow = 64 * 1024

// stallable has connections take so much for each stream, and enough for all of them.
func stallable() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithStaticStreamWindowSize(stallWindow),
		grpc.WithStaticConnWindowSize(1 << 30),
	}
}

// stall has the last members read nothing any more, and publishes until the windows of their
// streams are full: from then on what is for them waits in the server.
func stall(l *load) error {
	if l.opts.stalled == 0 {
		return nil
	}
	reading := len(l.members) - l.opts.stalled
	l.members, l.streams = l.members[:reading], l.streams[:reading]
	_, err := l.publishAndTime(func(published int) bool {
		return published*l.opts.size > 2*stallWindow
	}, 0)
	return err
}

// steady counts deliveries, and times each from when the message was sent.
func steady(l *load, over *alarm) (tally, error) {
	interval := seconds(1 / l.opts.rate)
	return l.publishAndTime(func(int) bool { return over.rang.Load() }, interval)
}

// publishAndTime has the first member publish, and all read, until it is over. The texts say when
// they were sent.
func (l *load) publishAndTime(
	isOver func(published int) bool, interval time.Duration,
) (tally, error) {
	epoch := time.Now()
	publisher, window := l.members[0], newWindow(l.opts.window)
	parts := make([]tally, len(l.members))
	err := l.inParallel(len(l.members)+1, func(i int) error {
		if i == len(l.members) {
			return l.publishTimes(publisher, window, epoch, isOver, interval)
		}
		read := func() {}
		if i == 0 {
			read = window.leave
		}
		return l.readTimes(l.members[i], read, epoch, &parts[i])
	})
	return added(parts), err
}

func (l *load) publishTimes(
	publisher *member,
	window *window,
	epoch time.Time,
	isOver func(published int) bool,
	interval time.Duration,
) error {
	padding := strings.Repeat(".", l.opts.size)
	for i := 1; i == 1 || !isOver(i); i++ {
		window.enter()
		time.Sleep(time.Until(epoch.Add(time.Duration(i) * interval)))
		text := strconv.FormatInt(time.Since(epoch).Nanoseconds(), 10)
		if err := publisher.publish(text + padding[min(len(text), len(padding)):]); err != nil {
			return err
		}
	}
	window.enter()
	return publisher.publish(last)
}

func (l *load) readTimes(m *member, read func(), epoch time.Time, done *tally) error {
	for {
		rsp, err := m.read()
		if err != nil {
			return err
		}
		read()
		done.messages++
		if rsp.GetMessage() == last {
			return nil
		}
		sent, err := strconv.ParseInt(strings.TrimRight(rsp.GetMessage(), "."), 10, 64)
		if err != nil {
			return wrongReply(rsp, "when it was sent")
		}
		done.waits = append(done.waits, time.Since(epoch)-time.Duration(sent))
	}
}
