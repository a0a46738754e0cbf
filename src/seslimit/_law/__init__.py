"""What is believed about an account and what follows from it: moments come as arguments, nothing here waits."""
