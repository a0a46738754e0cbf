"""What the replies of a service and the exceptions of its clients mean: tables and their lookup, pure."""
