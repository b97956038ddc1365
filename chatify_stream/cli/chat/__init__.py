"""The command `chatify-stream chat`: a room in a terminal or between pipes."""
