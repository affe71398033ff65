"""What each route does: plain functions from a request to a reply, shared by both lanes."""
