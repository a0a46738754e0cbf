"""Faults played in bulk: each module is a table or a generator that tests sample, and that runs whole as a command."""
