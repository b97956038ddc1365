"""`chatify-stream chat`: chat in a room, in a terminal or between pipes."""

from __future__ import annotations

import asyncio
import getpass
import os
import signal

import click

from ...config import Settings
from ..chat.visit import ChatOptions, Visit, state_folder
from ..client_options import token_from_settings
from ..exit_codes import CommandError, require_extra
from ..logs.setup import configure_logging
from ..options import LOG, with_settings
from ..serving.signals import on_signal

TERMINATED = 128 + signal.SIGTERM


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # depends on the platform
        raise CommandError("--user: your login name is unknown; set --user NAME") from None


@click.command()
@click.option("--room", required=True, metavar="NAME", help="Name of the room.")
@click.option(
    "--user",
    metavar="NAME",
    help="Your user name.  [default: the user of the token, or your login name]",
)
@click.option(
    "--history",
    type=click.IntRange(min=0),
    default=20,
    metavar="N",
    show_default=True,
    help="Number of recent messages to show on the first visit.",
)
@click.option(
    "--fresh",
    is_flag=True,
    help="Show recent messages on this visit too, instead of resuming after the last one seen.",
)
@click.option(
    "--listen",
    is_flag=True,
    help="Between pipes: stay in the room after the end of standard input.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Between pipes: print every event as a JSON line."
)
@with_settings("client", *LOG)
def chat(
    room: str,
    user: str | None,
    history: int,
    fresh: bool,
    listen: bool,
    as_json: bool,
    settings: Settings,
) -> None:
    """Chat with others in a room.

    In a terminal, enter messages, or commands such as /help. When you come back, the chat shows the
    messages that you missed. For this it saves the position of the last message shown, for each
    server, room and user, in the folder chatify-stream of $XDG_STATE_HOME or ~/.local/state. A lost
    connection is restored, within --timeout or without a time limit.

    Between pipes, that is if standard input or output is not a terminal, each line of standard
    input is sent as a message, whatever its first character. Each message of the room, including
    your own, is printed as a line: offset, time (UTC), user and text, separated by tabs. In user
    and text a backslash is \\\\, a tab \\t, a line end \\n or \\r; other control characters are
    escaped as \\x1b or \\u202e. The command ends when all messages from standard input are in the
    room and printed. With empty input it prints the new messages.

    Exit status: 0 success; 2 wrong flags, configuration or names; 3 no connection to the server for
    --timeout; 4 the server cannot be reached; 5 the server answered with an error, or rejected a
    message; 130 interrupted; 143 terminated.
    """
    options = ChatOptions(
        user=_login_name() if user is None else user,
        history=history,
        is_fresh=fresh,
        folder=state_folder(os.environ),
        client=settings.client,
        sends_user=user is not None or token_from_settings(settings.client) is None,
    )
    if os.isatty(0) and os.isatty(1) and os.environ.get("TERM") != "dumb":
        with require_extra("cli", "chat in a terminal"):
            from prompt_toolkit.patch_stdout import patch_stdout
        with patch_stdout():  # so that the log does not disturb the prompt
            configure_logging(settings.log)
            was_terminated = asyncio.run(_in_terminal(options, room))
    else:
        was_terminated = asyncio.run(_between_pipes(options, room, listen, as_json))
    if was_terminated:
        raise click.exceptions.Exit(TERMINATED)


async def _in_terminal(options: ChatOptions, room: str) -> bool:
    from ..chat.terminal import TerminalChat

    chat = TerminalChat(lambda room: Visit(options, room, presence=True))
    await chat.run(room)
    return chat.was_terminated


async def _between_pipes(options: ChatOptions, room: str, listen: bool, as_json: bool) -> bool:
    from ..chat.plain import chat_by_line, json_line, tabbed_line

    line = json_line if as_json else tabbed_line
    running = asyncio.ensure_future(
        chat_by_line(Visit(options, room, presence=as_json), line, listen=listen)
    )
    was_terminated = False

    def terminate() -> None:
        nonlocal was_terminated
        was_terminated = running.cancel()

    with on_signal("SIGTERM", terminate):
        try:
            await running
        except asyncio.CancelledError:
            if not was_terminated:
                raise
    return was_terminated
