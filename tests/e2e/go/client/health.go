package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func reportHealth(service string, rsp *grpc_health_v1.HealthCheckResponse) {
	report("health", map[string]any{"service": service, "status": rsp.GetStatus().String()})
}

func healthCheck(ctx context.Context, conns []*grpc.ClientConn, opts options) error {
	rsp, err := grpc_health_v1.NewHealthClient(conns[0]).Check(
		ctx, &grpc_health_v1.HealthCheckRequest{Service: opts.service})
	if err != nil {
		return err
	}
	reportHealth(opts.service, rsp)
	return nil
}

func healthList(ctx context.Context, conns []*grpc.ClientConn, _ options) error {
	rsp, err := grpc_health_v1.NewHealthClient(conns[0]).List(
		ctx, &grpc_health_v1.HealthListRequest{})
	if err != nil {
		return err
	}
	for service, health := range rsp.GetStatuses() {
		reportHealth(service, health)
	}
	return nil
}

// healthWatch reports each status until the server ends the watch or a signal ends the client.
func healthWatch(ctx context.Context, conns []*grpc.ClientConn, opts options) error {
	watch, err := grpc_health_v1.NewHealthClient(conns[0]).Watch(
		ctx, &grpc_health_v1.HealthCheckRequest{Service: opts.service})
	if err != nil {
		return err
	}
	for {
		rsp, err := watch.Recv()
		if err != nil {
			return err
		}
		reportHealth(opts.service, rsp)
	}
}
