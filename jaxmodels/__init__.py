"""What is computed: Linen modules, arrays to arrays."""
