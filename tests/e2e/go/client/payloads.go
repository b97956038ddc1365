package main

import (
	"context"

	"google.golang.org/grpc/stats"
)

// payloadReporter tells of every message how many bytes it has, and had on the wire.
type payloadReporter struct{}

func (payloadReporter) HandleRPC(_ context.Context, event stats.RPCStats) {
	switch payload := event.(type) {
	case *stats.OutPayload:
		reportPayload("sent", payload.Length, payload.CompressedLength)
	case *stats.InPayload:
		reportPayload("received", payload.Length, payload.CompressedLength)
	}
}

func reportPayload(event string, length, onWire int) {
	report(event, map[string]any{"length": length, "onWire": onWire})
}

func (payloadReporter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	return ctx
}

func (payloadReporter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}

func (payloadReporter) HandleConn(context.Context, stats.ConnStats) {}
