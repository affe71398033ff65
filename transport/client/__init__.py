"""The Python client: register, stay alive, discover, and watch, with failover between nodes."""
