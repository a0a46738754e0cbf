"""Code of users, as their type checkers see it; nothing here is run."""  # noqa: A005  # beside the others
