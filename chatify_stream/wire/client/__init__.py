"""The client side: channels, their connections, and the calls on them."""
