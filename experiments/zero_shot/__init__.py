"""Generalised zero- and few-shot learning: its protocol, the classifier on latents, and the report."""
