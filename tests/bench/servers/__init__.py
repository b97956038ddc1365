"""Our server and the Python peers, each as its library's users would write it.

Every one is a program, `python -m tests.bench.servers.NAME [--certificate FILE --key FILE]`, that
prints `listening on HOST:PORT` once it accepts. It serves two methods:

- `/service.v1.Service/Chat` answers each message with `Hello ` and its text;
- `/bench.Fanout/Chat` greets a new member of its one group with `welcome`, and sends what any
  member says to every member, through an outbox of each.
"""
