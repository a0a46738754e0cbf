"""
The control law, the limiter, a sender and what stands on them, played against models of the service.

The suite plays short versions and holds their figures; `benchmarks` plays them whole and prints the tables. A seed
fixes each of them, and none opens a socket but `listmonk_round`, which plays real processes.
"""
