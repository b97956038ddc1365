"""HTTP/2 without a connection: frames, header blocks, states and the defences against floods."""
