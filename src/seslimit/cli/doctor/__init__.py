"""`seslimit doctor`: what is wrong with a set-up, found without sending a message."""
