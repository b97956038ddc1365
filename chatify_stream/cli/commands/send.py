"""`chatify-stream send`: send messages and print the replies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import click

from ...client import ChatClient
from ...config import ClientSettings, Settings
from ...config.kinds import Seconds
from ...errors import CallError
from ..client_options import tls_from_settings, token_from_settings
from ..exit_codes import CALL_FAILED, CommandError
from ..options import LOG, read_seconds, with_settings
from ..stdin import iterate, stdin_lines


@click.command()
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of times to send the TEXTs. Without TEXT, send Message 0, Message 1, and so on.",
)
@click.option(
    "--interval",
    callback=read_seconds(Seconds(allow_zero=True)),
    default="0",
    show_default=True,
    metavar="SECONDS",
    help="Seconds to wait between messages.",
)
@with_settings("client", *LOG)
def send(texts: tuple[str, ...], count: int | None, interval: float, settings: Settings) -> None:
    """Send each TEXT over one Chat stream and print each reply.

    Without TEXT and --count, send the lines of standard input. Put -- before a TEXT that starts
    with a dash.

    Exit status: 0 all messages were answered; 2 wrong flags, configuration or text; 3 the --timeout
    passed; 4 the server cannot be reached, or the connection was lost; 5 the server answered with
    an error; 130 interrupted.
    """
    asyncio.run(_send(settings.client, _messages(texts, count), interval))


def _messages(texts: tuple[str, ...], count: int | None) -> AsyncIterator[str]:
    if texts:
        return iterate(text for _ in range(count or 1) for text in texts)
    if count is not None:
        return iterate(f"Message {number}" for number in range(count))
    return stdin_lines()


async def _send(settings: ClientSettings, messages: AsyncIterator[str], interval: float) -> None:
    async with ChatClient(
        settings.target,
        timeout=settings.timeout,
        connect_timeout=settings.connect_timeout,
        wait_for_ready=settings.wait_for_ready,
        ssl=tls_from_settings(settings),
        token=token_from_settings(settings),
    ) as chat:
        sender = asyncio.create_task(_send_all(chat, messages, interval))
        receiver = asyncio.create_task(_print_replies(chat))
        try:
            await asyncio.wait({sender, receiver}, return_when=asyncio.FIRST_COMPLETED)
            # If the call has failed, the receiver prints the earlier replies and raises the error.
            if not receiver.done() and not isinstance(sender.exception(), CallError):
                sender.result()
            await receiver
            if not sender.done():
                raise CommandError(
                    "the server ended the call before all messages were sent", CALL_FAILED
                )
            sender.result()
        finally:
            for task in (sender, receiver):
                task.cancel()
            await asyncio.gather(sender, receiver, return_exceptions=True)


async def _send_all(chat: ChatClient, messages: AsyncIterator[str], interval: float) -> None:
    is_first = True
    async for text in messages:
        if interval and not is_first:
            await asyncio.sleep(interval)
        is_first = False
        await chat.send(text)
    await chat.half_close()


async def _print_replies(chat: ChatClient) -> None:
    async for reply in chat:
        click.echo(reply.message)
