"""The commit marker: a small file that records the newest transaction and serves as the lock.

By design, SQLite treats a write-ahead log with a truncated or damaged end as one that ended there.
To detect the loss of acknowledged messages, the number of each transaction is written to the
marker, after the commit and before the acknowledgement. Both writes are synced.

Number n goes into slot n % 2, so the previous number survives a torn write. Number n is written
only when transaction n is in the database. If one slot is torn and the other holds n, transaction
n + 1 was therefore committed.

The process that holds the lock on the marker owns the database. The operating system releases the
lock when the process ends, however it ends. The marker is never removed, except by an operator who
accepts the loss of the newest messages.
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

if sys.platform == "win32":
    import msvcrt

    _BYTE = 1 << 30
    """Offset beyond all data: Windows blocks reads of a locked byte."""

    def try_lock(descriptor: int) -> bool:
        """Return False if another process holds the lock."""
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Return False if this or another process holds the lock."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


SLOT = 4096
"""Distance of the slots in bytes: they never share a disk block."""

_LINE = re.compile(rb"chatify-stream had committed (\d{20}) of ([0-9a-f]{16}), (\d{10})\n")

_sync = getattr(os, "fdatasync", os.fsync)  # macOS and Windows lack fdatasync


class Progress(NamedTuple):
    """A transaction that the database must contain."""

    identity: str
    sequence: int


class CommitMarker:
    def __init__(self, path: str) -> None:
        """Open and lock the file. Raises `UnusableError` if another server has it, or `OSError`."""
        self.path = path
        self.is_new = not os.path.exists(path)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(path, flags, 0o666)
        try:
            if not try_lock(self._descriptor):
                raise UnusableError("in use by another server; give each server its own file")
            self._inode = os.fstat(self._descriptor).st_ino
        except BaseException:
            os.close(self._descriptor)
            raise

    def read(self) -> Progress | None:
        """Return the recorded progress, or None if nothing was recorded. Raises `DamagedError`."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        content = os.read(self._descriptor, 2 * SLOT)
        slots = (_parse(content[:SLOT]), _parse(content[SLOT:]))
        written = [slot for slot in slots if slot is not None]
        if not written:
            if content.strip(b"\0"):
                raise DamagedError(f"the file {self.path} is unreadable")
            return None
        if len({slot.identity for slot in written}) > 1:
            raise DamagedError(f"the slots of the file {self.path} contradict each other")
        last = max(written)
        return last if len(written) == 2 else last._replace(sequence=last.sequence + 1)

    def reset(self, identity: str, sequence: int) -> None:
        """Write both slots: transaction `sequence` is in the database. Raises `OSError`."""
        self._identity = identity
        for number in (sequence - 1, sequence):
            self._write(number)
        os.fsync(self._descriptor)
        sync_folder(self.path)

    def write(self, sequence: int) -> None:
        """Record that transaction `sequence` is in the database. Raises `OSError`."""
        self._write(sequence)
        _sync(self._descriptor)

    def exists(self) -> bool:
        return is_in_place(self.path, self._inode)

    def close(self) -> None:
        os.close(self._descriptor)

    def discard(self) -> None:
        """Close the file; remove it if this object created it and wrote nothing."""
        if self.is_new and not os.fstat(self._descriptor).st_size:
            with suppress(OSError):  # Windows cannot remove an open file; an empty one is harmless
                os.remove(self.path)
        self.close()

    def _write(self, number: int) -> None:
        text = f"chatify-stream had committed {number:020} of {self._identity}, ".encode()
        line = b"%b%010d\n" % (text, crc32(text))
        os.lseek(self._descriptor, number % 2 * SLOT, os.SEEK_SET)
        if os.write(self._descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def is_in_place(path: str, inode: int) -> bool:
    try:
        return os.stat(path).st_ino == inode
    except FileNotFoundError:
        return False


def _parse(slot: bytes) -> Progress | None:
    match = _LINE.match(slot)
    if match is None or crc32(slot[: match.start(3)]) != int(match[3]):
        return None
    return Progress(match[2].decode(), int(match[1]))
