"""What is minimised: pure functions of arrays."""
