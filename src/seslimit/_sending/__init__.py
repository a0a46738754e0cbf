"""The sender: many messages on their way at once, and what becomes of them."""
