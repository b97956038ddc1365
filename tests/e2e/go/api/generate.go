// Package api holds what protoc generates from the project's proto files; the generated code is
// committed, so that building the peers needs no protoc. To generate it anew, have grpcio-tools
// in the active Python environment and on the PATH
//
//	go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
//	go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
//
// and run "go generate ./api". The package path is given here because the go_package of the
// proto file, which clients in use were built with, is not an importable path.
package api

//go:generate python -m grpc_tools.protoc -I ../../../../proto --go_out=.. --go-grpc_out=.. --go_opt=module=chatify.example/e2e --go-grpc_opt=module=chatify.example/e2e "--go_opt=Mservice/v1/service.proto=chatify.example/e2e/api/service/v1;v1" "--go-grpc_opt=Mservice/v1/service.proto=chatify.example/e2e/api/service/v1;v1" service/v1/service.proto
