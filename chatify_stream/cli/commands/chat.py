"""`chatify-stream chat`: a room, in a terminal or between pipes."""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
from pathlib import Path
from typing import Any

import click

from ..chat.bookmark import state_folder
from ..chat.visit import ChatOptions, Visit
from ..client_options import token_of
from ..exit_codes import CommandError, reporting_errors
from ..logs.setup import configure_logging
from ..options import LOG, load_settings, settings_options
from ..serving.signals import on_termination

__all__ = ["chat"]

TERMINATED = 128 + signal.SIGTERM


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # what it is depends on the platform
        raise CommandError("--user: who you are is not known here; give a name") from None


@click.command()
@click.option("--room", required=True, metavar="NAME", help="The room to go to.")
@click.option(
    "--user", metavar="NAME", help="Who you are.  [default: as the token says, or your login name]"
)
@click.option(
    "--history",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many of the newest messages to begin with, on the first visit.",
)
@click.option(
    "--fresh", is_flag=True, help="Begin with them on this visit, too, wherever the last one ended."
)
@click.option("--listen", is_flag=True, help="Between pipes: stay after the end of standard input.")
@click.option(
    "--json", "as_json", is_flag=True, help="Between pipes: print every event, as JSON lines."
)
@settings_options("client", *LOG)
@reporting_errors
def chat(
    room: str,
    user: str | None,
    history: int,
    fresh: bool,
    listen: bool,
    as_json: bool,
    config_file: Path | None,
    **flags: Any,
) -> None:
    """Talk with others in a room.

    In a terminal: enter messages, and commands such as /help. Who comes back is shown what they
    have missed: the position of the last message shown is remembered for each server, room and
    user, in the folder chatify-stream of $XDG_STATE_HOME or of ~/.local/state. A connection that
    is lost is made again; --timeout says how long it may take, without it that is for ever.

    Between pipes, that is when standard input or output is no terminal: each line of standard
    input is a message, whatever it begins with, and each message of the room, one's own included,
    is a line of output: its offset, time (UTC), user and text, with tabs between them, as cut and
    awk take them apart. In user and text a backslash is \\\\, a tab \\t, a line end \\n or \\r;
    other control characters are such as \\x1b or \\u202e. The command ends when all that it has
    read is in the room and printed; with no input it prints what is new.

    Exit status: 0 all is done; 2 wrong flags, configuration or names; 3 without the server for
    --timeout; 4 the server cannot be reached; 5 the server answered with an error, or refused a
    message; 130 interrupted; 143 terminated.
    """
    settings = load_settings(config_file, flags).settings
    options = ChatOptions(
        user=_login_name() if user is None else user,
        history=history,
        is_fresh=fresh,
        folder=state_folder(os.environ),
        client=settings.client,
        says_user=user is not None or token_of(settings.client) is None,
    )
    if os.isatty(0) and os.isatty(1) and os.environ.get("TERM") != "dumb":
        from prompt_toolkit.patch_stdout import patch_stdout

        with patch_stdout():  # so that the log does not disturb the prompt
            configure_logging(settings.log)
            was_terminated = asyncio.run(_in_terminal(options, room))
    else:
        configure_logging(settings.log)
        was_terminated = asyncio.run(_between_pipes(options, room, listen, as_json))
    if was_terminated:
        raise click.exceptions.Exit(TERMINATED)


async def _in_terminal(options: ChatOptions, room: str) -> bool:
    from ..chat.terminal import TerminalChat

    chat = TerminalChat(lambda room: Visit(options, room, presence=True))
    await chat.run(room)
    return chat.was_terminated


async def _between_pipes(options: ChatOptions, room: str, listens: bool, as_json: bool) -> bool:
    from ..chat.plain import chat_by_line, json_line, tabbed_line

    line = json_line if as_json else tabbed_line
    chatting = asyncio.ensure_future(
        chat_by_line(Visit(options, room, presence=as_json), line, listens=listens)
    )
    was_terminated = False

    def terminate() -> None:
        nonlocal was_terminated
        was_terminated = chatting.cancel()

    with on_termination(terminate):
        try:
            await chatting
        except asyncio.CancelledError:
            if not was_terminated:
                raise
    return was_terminated
