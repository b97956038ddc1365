"""A lock on an open file, which the system takes back when its process ends, however it ends."""

from __future__ import annotations

import sys

__all__ = ["try_lock"]

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
