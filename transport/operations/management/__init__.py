"""The management part of the RPC API: endpoints 32 to 91."""
