"""TLS for servers and clients, on the standard library's ssl module."""
