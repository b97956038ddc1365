"""Python clients that put load on a server, each as its library's users would write it.

Every one is a program, `python -m tests.bench.clients.NAME MODE --addr HOST:PORT`, with the modes
`flood` and `pingpong` of the load client in Go, its options --seconds and --warmup, and its output.
"""
