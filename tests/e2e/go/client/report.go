package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/status"
)

var (
	output      = json.NewEncoder(os.Stdout)
	outputMutex sync.Mutex
)

func report(event string, fields map[string]any) {
	line := map[string]any{"event": event}
	for key, value := range fields {
		line[key] = value
	}
	outputMutex.Lock()
	defer outputMutex.Unlock()
	if err := output.Encode(line); err != nil {
		panic(err)
	}
}

func reportReply(message string) {
	report("reply", map[string]any{"message": message})
}

// reportEnd prints the status under the name the gRPC specification gives it (CANCELLED, not
// Go's Canceled), so that every peer's report reads the same, and returns the exit code.
func reportEnd(err error) int {
	if errors.Is(err, io.EOF) {
		err = nil
	}
	st := status.Convert(err)
	report("end", map[string]any{"code": code.Code(st.Code()).String(), "message": st.Message()})
	if err != nil {
		return 1
	}
	return 0
}
