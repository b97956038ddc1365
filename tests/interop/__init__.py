"""gRPC's own interop tests, both ways: its clients and our server, our client and its servers.

https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md says what each case is.
"""
