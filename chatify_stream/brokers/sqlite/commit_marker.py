"""The mark: a small file beside the database that says how far it had come, and is its lock.

A write-ahead log whose end was cut off or changed is taken by SQLite, by design, for one that ended
there. So that what was acknowledged is missed, the number of its transaction goes into the mark,
after the commit and before the acknowledgement, both synced.

Rules: the number n is written into slot n % 2 of two, so that the one before stays while it is
written. It is written only once transaction n is in the database: whoever finds one slot torn, and
n in the other, knows that transaction n + 1 was committed. Who holds the lock of the mark owns the
database; the mark is never removed, except by somebody who wants to go on with a database that has
lost its end.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from contextlib import suppress
from typing import NamedTuple
from zlib import crc32

from .errors import DamagedError, UnusableError
from .schema import sync_folder

__all__ = ["Mark", "Progress", "try_lock"]

if sys.platform == "win32":
    import msvcrt
    import os

    _BYTE = 1 << 30
    """Behind all that is read: Windows keeps others from reading what is locked."""

    def try_lock(descriptor: int) -> bool:
        """False when somebody else has it."""
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """False when somebody else has it, in this process or another one."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


SLOT = 4096
"""Bytes from one slot to the other: they are never in one block of the disk."""

_LINE = re.compile(rb"chatify-stream had committed (\d{20}) of ([0-9a-f]{16}), (\d{10})\n")

_sync = getattr(os, "fdatasync", os.fsync)  # which neither macOS nor Windows has


class Progress(NamedTuple):
    """How far a database has come, at the least."""

    identity: str
    sequence: int


class Mark:
    """The open file, locked."""

    def __init__(self, path: str) -> None:
        """Raises `UnusableError` when another server has it, and `OSError`."""
        self.path = path
        self.is_new = not os.path.exists(path)
        """Nobody has had a mark there, or it was removed."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(path, flags, 0o666)
        try:
            if not try_lock(self._descriptor):
                raise UnusableError("it is in use by another server; give each server its own file")
            self._inode = os.fstat(self._descriptor).st_ino
        except BaseException:
            os.close(self._descriptor)
            raise

    def read(self) -> Progress | None:
        """None for a mark that says nothing, new or never written whole. Raises `DamagedError`."""
        content = self._read(2 * SLOT)
        slots = (_parse(content[:SLOT]), _parse(content[SLOT:]))
        written = [slot for slot in slots if slot is not None]
        if not written:
            if content.strip(b"\0"):
                raise DamagedError(f"the file {self.path} says nothing")
            return None
        if len({slot.identity for slot in written}) > 1:
            raise DamagedError(f"the file {self.path} contradicts itself")
        last = max(written)
        return last if len(written) == 2 else last._replace(sequence=last.sequence + 1)

    def reset(self, identity: str, sequence: int) -> None:
        """Writes both slots: transaction `sequence` is in the database. Raises `OSError`."""
        self._identity = identity
        for number in (sequence - 1, sequence):
            self._write(number)
        os.fsync(self._descriptor)
        sync_folder(self.path)

    def write(self, sequence: int) -> None:
        """Transaction `sequence` is in the database. Raises `OSError`."""
        self._write(sequence)
        _sync(self._descriptor)

    def is_there(self) -> bool:
        """Nobody has removed or replaced the file."""
        try:
            return os.stat(self.path).st_ino == self._inode
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Gives the lock back."""
        os.close(self._descriptor)

    def discard(self) -> None:
        """Closes it; and removes it, if it was made here and nothing was written."""
        if self.is_new and not os.fstat(self._descriptor).st_size:
            with suppress(OSError):  # Windows removes nothing that is open; it does no harm
                os.remove(self.path)
        self.close()

    def _write(self, number: int) -> None:
        said = f"chatify-stream had committed {number:020} of {self._identity}, ".encode()
        line = b"%b%010d\n" % (said, crc32(said))
        os.lseek(self._descriptor, number % 2 * SLOT, os.SEEK_SET)
        if os.write(self._descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _read(self, size: int) -> bytes:
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return os.read(self._descriptor, size)


def _parse(slot: bytes) -> Progress | None:
    match = _LINE.match(slot)
    if match is None or crc32(slot[: match.start(3)]) != int(match[3]):
        return None
    return Progress(match[2].decode(), int(match[1]))
