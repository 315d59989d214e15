"""How good it is: pure functions on whole arrays."""
