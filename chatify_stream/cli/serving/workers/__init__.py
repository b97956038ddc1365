"""`serve --workers N`: several processes that serve one port."""
