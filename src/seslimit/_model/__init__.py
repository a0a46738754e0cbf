"""Values: what a message, an outcome, an error and a sending quota are. Frozen, checked when made, pure."""
