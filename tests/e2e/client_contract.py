"""What every gRPC client finds at our server: one suite for each of the client processes."""

import pytest

from .peers import PeerClient
from .processes import ServerProcess

CHAT = "/service.v1.Service/Chat"
ALIASES = ["/service.v1.Service/ChatStream", "/Service/Chat"]
MESSAGES = [f"Message {number}" for number in range(5)]
REPLIES = [f"Hello Message {number}" for number in range(5)]
TEXTS = [
    "你好，世界",
    "👋🏽 👩\u200d🚀 e\u0301",
    "",
    " spaces ",
    'line\nbreak\t"quoted" \\',
    "--reply",
]
MEGABYTE = 1 << 20
LEFT_OPEN_MS = "700"


class ClientContract:
    """The tests; a subclass brings the fixture `client`."""

    def test_burst(self, client: PeerClient, server: ServerProcess) -> None:
        """Messages sent before anything is read are all answered, in order, then OK."""
        report = client.run("burst", server.address)
        assert report.replies == REPLIES
        assert (report.code, report.message, report.exit_code) == ("OK", "", 0)

    def test_no_message(self, client: PeerClient, server: ServerProcess) -> None:
        """A stream that is half-closed at once ends OK without a reply."""
        report = client.run("burst", server.address, "--count", "0")
        assert (report.replies, report.code) == ([], "OK")

    def test_pingpong(self, client: PeerClient, server: ServerProcess) -> None:
        """Each reply comes while the client's side is open; the half-close brings only OK."""
        report = client.run("pingpong", server.address)
        assert (report.replies, report.code) == (REPLIES, "OK")

    @pytest.mark.parametrize("mode", ["burst", "pingpong"])
    def test_texts(self, client: PeerClient, server: ServerProcess, mode: str) -> None:
        """Text of every kind, the empty one too, comes back as it was sent."""
        report = client.run(mode, server.address, "--", *TEXTS)
        assert report.replies == [f"Hello {text}" for text in TEXTS]
        assert report.code == "OK"

    @pytest.mark.parametrize("mode", ["burst", "pingpong", "unary"])
    def test_megabyte(self, client: PeerClient, server: ServerProcess, mode: str) -> None:
        """A message larger than every flow-control window comes back whole."""
        report = client.run(mode, server.address, "--size", str(MEGABYTE))
        assert [len(reply) for reply in report.replies] == [len("Hello ") + MEGABYTE]
        assert report.replies[0] == "Hello " + "x" * MEGABYTE
        assert report.code == "OK"

    @pytest.mark.parametrize("method", ALIASES)
    def test_aliases(self, client: PeerClient, server: ServerProcess, method: str) -> None:
        """The method answers under its other paths."""
        report = client.run("burst", server.address, "--method", method)
        assert (report.replies, report.code) == (REPLIES, "OK")

    @pytest.mark.parametrize("text", ["plain", "你好", ""])
    def test_unary(self, client: PeerClient, server: ServerProcess, text: str) -> None:
        """A unary call of the streaming method gets its one reply."""
        report = client.run("unary", server.address, "--", text)
        assert (report.replies, report.code) == ([f"Hello {text}"], "OK")

    def test_unknown_method(self, client: PeerClient, server: ServerProcess) -> None:
        """A method that is not served is UNIMPLEMENTED, not a broken connection."""
        report = client.run("burst", server.address, "--method", "/service.v1.Service/Shout")
        assert (report.replies, report.code, report.exit_code) == ([], "UNIMPLEMENTED", 1)

    def test_cancel(self, client: PeerClient, server: ServerProcess) -> None:
        """A client that cancels in mid-stream sees CANCELLED, and others are served on."""
        report = client.run("cancel", server.address, "--", "first")
        assert (report.replies, report.code) == (["Hello first"], "CANCELLED")
        assert client.run("burst", server.address).replies == REPLIES

    def test_deadline(self, client: PeerClient, server: ServerProcess) -> None:
        """A stream left open ends at its deadline, and others are served on."""
        report = client.run("deadline", server.address, "--timeout-ms", LEFT_OPEN_MS)
        assert report.code == "DEADLINE_EXCEEDED"
        assert client.run("burst", server.address).replies == REPLIES

    def test_many_messages(self, client: PeerClient, server: ServerProcess) -> None:
        """10,000 messages on one stream, sent and read at once, are answered in order."""
        report = client.run("many", server.address, "--count", "10000")
        assert (report.code, report.message) == ("OK", "")
        assert report.events[0] == {"event": "replies", "count": 10_000}

    def test_reply_template(self, client: PeerClient) -> None:
        """The reply is what the command line says it is."""
        with ServerProcess("serve", "--reply", "你好 {name}!") as server:
            report = client.run("pingpong", server.address, "--", "Ada", "")
        assert (report.replies, report.code) == (["你好 Ada!", "你好 !"], "OK")

    @pytest.mark.parametrize("service", ["", "service.v1.Service"])
    def test_health_check(self, client: PeerClient, server: ServerProcess, service: str) -> None:
        """The server as a whole and the chat service report SERVING."""
        report = client.run("check", server.address, "--service", service)
        assert (report.health, report.code) == ({service: "SERVING"}, "OK")

    def test_health_check_unknown(self, client: PeerClient, server: ServerProcess) -> None:
        """A service nobody serves is NOT_FOUND."""
        report = client.run("check", server.address, "--service", "no.such.Service")
        assert (report.health, report.code) == ({}, "NOT_FOUND")

    def test_health_watch(self, client: PeerClient, own_server: ServerProcess) -> None:
        """A watch tells that the server goes before the server is gone."""
        with client.start("watch", own_server.address) as watch:
            assert watch.read_event() == health("SERVING")
            assert own_server.stop() == 0
            assert watch.read_event() == health("NOT_SERVING")
            end = watch.read_event()
            assert (end["event"], end["code"]) == ("end", "UNAVAILABLE")
            assert watch.read_line() is None

    def test_drain(self, client: PeerClient) -> None:
        """A stream open at SIGTERM goes on within the grace; after its OK the server exits."""
        with (
            ServerProcess("serve", "--grace", "120") as server,
            client.start("watch", server.address) as watch,
            client.start("chat", server.address) as chat,
        ):
            assert watch.read_event() == health("SERVING")
            chat.write_line("before")
            assert chat.read_event() == {"event": "reply", "message": "Hello before"}
            server.terminate()
            assert watch.read_event() == health("NOT_SERVING")
            chat.write_line("after")
            assert chat.read_event() == {"event": "reply", "message": "Hello after"}
            chat.close_stdin()
            assert chat.read_event() == {"event": "end", "code": "OK", "message": ""}
            assert server.wait() == 0

    def test_grace_over(self, client: PeerClient) -> None:
        """A stream that is still open when the grace is over ends UNAVAILABLE."""
        with (
            ServerProcess("serve", "--grace", "0.3") as server,
            client.start("chat", server.address) as chat,
        ):
            chat.write_line("before")
            assert chat.read_event() == {"event": "reply", "message": "Hello before"}
            assert server.stop() == 0
            chat.close_stdin()
            end = chat.read_event()
            assert (end["event"], end["code"]) == ("end", "UNAVAILABLE")


def health(status: str) -> dict[str, str]:
    """The event of a client that watches the server as a whole."""
    return {"event": "health", "service": "", "status": status}
