"""What is fed: sources and batches."""
