"""Estimates summed up as the notebook of CLUB does (the logs: test_mi_gaussian)."""

import math

import numpy as np

from experiments.information import gaussian_measures as measures


def test_summary_of_estimates_is_that_of_the_notebook():
    estimates = np.arange(12.0)[:, None] ** 2
    mean, variance = measures.summarise(estimates, 2, 3)
    np.testing.assert_allclose(mean, [[np.mean([9, 16, 25]), np.mean([81, 100, 121])]])
    np.testing.assert_allclose(variance, [[np.var([9, 16, 25]), np.var([81, 100, 121])]])
    assert math.isclose(float(mean[0, 0]), 50 / 3)
