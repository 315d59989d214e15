"""Autoencoders on images with known factors: the flow of a run and its report."""
