"""What a node can do, measured from outside: whole requests, from another process, on another core."""
