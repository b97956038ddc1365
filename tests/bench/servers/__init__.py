"""Our server and the Python peers, each as its library's users would write it.

Every one is a program, `python -m tests.bench.servers.NAME [--certificate FILE --key FILE]`, that
prints `listening on HOST:PORT` once it accepts. It serves three methods:

- `/service.v1.Service/Chat` answers each message with `Hello ` and its text;
- `/bench.Fanout/Chat` greets a new member of its one group with `welcome`, and sends what any
  member says to every member, through an outbox of each;
- `/bench.Rooms/Chat` is a membership of the room, as the user, that the metadata `chat-room` and
  `chat-user` name; the headers say that it has begun. What any member says is given the room's
  next offset and the time, and goes to every member with these, its sender and its id. The server
  of threads does not have it.
"""
