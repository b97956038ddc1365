// Command table makes the calls that stand as JSON on its standard input, and prints how each
// ended: a list of the names of statuses for each server.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const within = 60 * time.Second

type call struct {
	Path     string            `json:"path"`
	Metadata map[string]string `json:"metadata"`
	Request  []byte            `json:"request"`
}

type server struct {
	Address string `json:"address"`
	CA      string `json:"ca"`
	Cert    string `json:"cert"`
	Key     string `json:"key"`
	Calls   []call `json:"calls"`
}

// bytesCodec leaves messages as they are.
type bytesCodec struct{}

func (bytesCodec) Name() string                        { return "proto" }
func (bytesCodec) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }
func (bytesCodec) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func main() {
	var servers []server
	check(json.NewDecoder(os.Stdin).Decode(&servers))
	ended := make([][]string, len(servers))
	for i, server := range servers {
		conn, err := grpc.NewClient(server.Address, grpc.WithTransportCredentials(server.credentials()))
		check(err)
		for _, call := range server.Calls {
			ended[i] = append(ended[i], status.Code(call.run(conn)).String())
		}
		check(conn.Close())
	}
	check(json.NewEncoder(os.Stdout).Encode(ended))
}

func (s server) credentials() credentials.TransportCredentials {
	if s.CA == "" {
		return insecure.NewCredentials()
	}
	authorities, err := os.ReadFile(s.CA)
	check(err)
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(authorities)
	if s.Cert != "" {
		pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		check(err)
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config)
}

// run sends the request, half-closes, and returns how the call ended, nil for OK.
func (c call) run(conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(c.Metadata))
	description := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	stream, err := conn.NewStream(ctx, description, c.Path, grpc.ForceCodec(bytesCodec{}))
	if err != nil {
		return err
	}
	_ = stream.SendMsg(&c.Request) // The status says why, if it could not be sent.
	_ = stream.CloseSend()
	for {
		var reply []byte
		if err := stream.RecvMsg(&reply); err != nil {
			if err.Error() == "EOF" {
				return nil
			}
			return err
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
