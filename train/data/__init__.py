"""The data that systems train on: sources and batches."""
