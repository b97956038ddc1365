"""One HTTP/2 connection with its streams, for server and client alike."""
