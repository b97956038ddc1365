package main

import "sync"

// window bounds how many messages are on their way, because what a server takes in without
// answering would still have to be waited for when the time is over. A sender that has filled it
// goes on when it is half empty.
type window struct {
	size     int
	mutex    sync.Mutex
	freed    *sync.Cond
	underway int
}

func newWindow(size int) *window {
	w := &window{size: size}
	w.freed = sync.NewCond(&w.mutex)
	return w
}

func (w *window) enter() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.underway == w.size {
		for w.underway > w.size/2 {
			w.freed.Wait()
		}
	}
	w.underway++
}

func (w *window) leave() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.underway--
	if w.underway == w.size/2 {
		w.freed.Signal()
	}
}
