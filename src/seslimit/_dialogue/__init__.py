"""The server's side of SMTP without any input or output, for the simulator and the relay."""
