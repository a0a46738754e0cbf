"""The waiting: the line in front of the limiter, and the attempts of one message."""
