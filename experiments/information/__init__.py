"""Mutual information: what is measured, drawn and written of a run, the stages of its training, and timings."""
