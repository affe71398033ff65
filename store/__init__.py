"""What a node knows: immutable values and pure, synchronous state machines. No clock, no log, no I/O but SQLite."""
