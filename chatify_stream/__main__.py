"""Run the command `chatify-stream`, for `python -m chatify_stream`."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main(prog_name="chatify-stream")
