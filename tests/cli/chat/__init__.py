"""`chatify-stream chat`, in pieces and as a process."""
