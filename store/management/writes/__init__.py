"""What operators can do: each write is a function that changes a draft, or raises Refused."""
