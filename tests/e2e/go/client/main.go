// Command client calls the chat service the way Go clients do and prints, as JSON lines,
// every reply and the status the call ended with.
//
//	client MODE -addr HOST:PORT [flags] [--] [message ...]
//
// It exits 0 when the call ended OK, 1 when it ended with another status (or a reply was not
// the one due), 2 when it was called wrongly.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"

	pb "chatify.example/e2e/api/service/v1"
)

const readyWithin = 20 * time.Second

type options struct {
	addr        string
	method      string
	service     string
	count       int
	size        int
	interval    time.Duration
	timeout     time.Duration
	streams     int
	connections int
	compressor  string
	metadata    []string
	names       []string
}

type mode func(ctx context.Context, conns []*grpc.ClientConn, opts options) error

var modes = map[string]mode{
	"burst":    burst,
	"chat":     chat,
	"pingpong": pingpong,
	"original": original,
	"unary":    unary,
	"cancel":   cancelMidStream,
	"deadline": leaveOpen,
	"many":     many,
	"parallel": parallel,
	"check":    healthCheck,
	"list":     healthList,
	"watch":    healthWatch,
}

func main() {
	if len(os.Args) < 2 || modes[os.Args[1]] == nil {
		known := strings.Join(slices.Sorted(maps.Keys(modes)), ", ")
		fmt.Fprintf(os.Stderr, "usage: client MODE -addr HOST:PORT; the modes: %s\n", known)
		os.Exit(2)
	}
	opts := parseOptions(os.Args[1], os.Args[2:])
	os.Exit(reportEnd(run(modes[os.Args[1]], opts)))
}

func parseOptions(name string, args []string) options {
	var opts options
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	flags.StringVar(&opts.addr, "addr", "", "HOST:PORT of the server")
	flags.StringVar(&opts.method, "method", pb.Service_Chat_FullMethodName, "full method name")
	flags.StringVar(&opts.service, "service", "", "service name, for check and watch")
	flags.IntVar(&opts.count, "count", 5, "messages to send when none are given")
	flags.IntVar(&opts.size, "size", 0, "send one message of this many bytes")
	interval := flags.Int("interval-ms", 1_000, "pause of the original client")
	timeout := flags.Int("timeout-ms", 30_000, "deadline of the call")
	flags.IntVar(&opts.streams, "streams", 200, "streams open at once, for parallel")
	flags.IntVar(&opts.connections, "connections", 1, "connections the streams share")
	flags.StringVar(&opts.compressor, "compressor", "", "compress the messages: gzip")
	flags.Func("metadata", "KEY=VALUE to send with the call; may be given again", opts.addMetadata)
	_ = flags.Parse(args) // ExitOnError: Parse does not return an error.
	opts.interval = time.Duration(*interval) * time.Millisecond
	opts.timeout = time.Duration(*timeout) * time.Millisecond

	switch {
	case flags.NArg() > 0:
		opts.names = flags.Args()
	case opts.size > 0:
		opts.names = []string{strings.Repeat("x", opts.size)}
	default:
		opts.names = numbered(opts.count)
	}
	return opts
}

func numbered(count int) []string {
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("Message %d", i)
	}
	return names
}

func (opts *options) addMetadata(text string) error {
	key, value, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("%q is not KEY=VALUE", text)
	}
	opts.metadata = append(opts.metadata, key, value)
	return nil
}

// run makes the connections ready before the deadline of the call starts to count.
func run(call mode, opts options) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	conns := make([]*grpc.ClientConn, opts.connections)
	for i := range conns {
		conn, err := dial(ctx, opts)
		if err != nil {
			return err
		}
		defer conn.Close()
		conns[i] = conn
	}
	ctx, cancel := context.WithTimeout(ctx, opts.timeout)
	defer cancel()
	return call(metadata.AppendToOutgoingContext(ctx, opts.metadata...), conns, opts)
}

func dial(ctx context.Context, opts options) (*grpc.ClientConn, error) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	dialOptions := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if opts.compressor != "" {
		dialOptions = append(dialOptions,
			grpc.WithDefaultCallOptions(grpc.UseCompressor(opts.compressor)),
			grpc.WithStatsHandler(payloadReporter{}))
	}
	conn, err := grpc.NewClient(opts.addr, dialOptions...)
	if err != nil {
		return nil, err
	}
	conn.Connect()
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		if !conn.WaitForStateChange(ctx, state) {
			conn.Close()
			return nil, fmt.Errorf("no connection to %s within %s: %s", opts.addr, readyWithin, state)
		}
	}
	return conn, nil
}
