"""Networks whose features others are compared by; their weights come from a file of the user."""
