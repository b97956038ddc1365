// Command peer is a plain grpc-go chat server, to compare with. It prints "listening on
// HOST:PORT" once it accepts.
//
//	peer [--certificate FILE --key FILE]
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	pb "chatify.example/e2e/api/service/v1"
)

type echo struct {
	pb.UnimplementedServiceServer
}

func (echo) Chat(stream grpc.BidiStreamingServer[pb.ChatReq, pb.ChatRsp]) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.ChatRsp{Message: "Hello " + req.GetName()}); err != nil {
			return err
		}
	}
}

func main() {
	certificate := flag.String("certificate", "", "serve TLS with this PEM file")
	key := flag.String("key", "", "the certificate's key, a PEM file")
	flag.Parse()

	var options []grpc.ServerOption
	if *certificate != "" {
		tls, err := credentials.NewServerTLSFromFile(*certificate, *key)
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, grpc.Creds(tls))
	}
	server := grpc.NewServer(options...)
	pb.RegisterServiceServer(server, echo{})
	serve(server, "bench.Fanout", &fanout{members: map[*member]struct{}{}})
	serve(server, "bench.Rooms", &rooms{byName: map[string]*room{}})

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	log.Fatal(server.Serve(listener))
}

// serve serves the same method under another service's name.
func serve(server *grpc.Server, name string, service pb.ServiceServer) {
	desc := pb.Service_ServiceDesc
	desc.ServiceName = name
	server.RegisterService(&desc, service)
}
