"""Links to other nodes: our own protocol over WebSocket, and the HTTP dialect of the original system."""
