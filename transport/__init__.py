"""How a node speaks: listener, fast lane, Quart app, push sockets, peer links; bytes in, calls out, validated once."""
