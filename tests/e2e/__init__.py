"""End-to-end tests: the server and the client as processes, against gRPC's own peers."""
