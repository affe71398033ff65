"""Many nodes: launch them, break their network, simulate them, measure them."""
