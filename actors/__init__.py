"""How a node lives: a small kernel (mailbox, supervisor) and one module per concern, each a Trio task."""
