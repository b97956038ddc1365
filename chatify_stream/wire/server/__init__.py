"""The server side: listening, the handshake, and one task for each call."""
