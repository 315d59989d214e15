"""Every estimator on scores under the name of its golden, and its double loop in NumPy float64.

A bound takes (scores, log_baseline). The loops know nothing of `objectives`.
"""

import math

import numpy as np

from objectives.mutual_information import lower, upper

BOUNDS = {
    "nwj": lambda s, b: lower.nwj(s),
    "nwj_alldiag": lambda s, b: lower.nwj(s, "all"),
    "tuba": lower.tuba,
    "uba": lambda s, b: lower.uba(s),
    "dv": lambda s, b: lower.dv(s),
    "dv_alldiag": lambda s, b: lower.dv(s, "all"),
    "mine_ema2": lambda s, b: lower.mine(s, math.log(2), rate=0.0)[0],
    "js_fgan": lambda s, b: lower.js_objective(s),
    "js_colab": lambda s, b: lower.js(s, shift=0.0),
    "js_paper": lambda s, b: lower.js(s),
    "smile_clip1": lambda s, b: lower.smile(s, 1.0),
    "smile_clip5": lambda s, b: lower.smile(s, 5.0),
    "infonce_axis1": lambda s, b: lower.infonce(s),
    "infonce_axis0": lambda s, b: lower.infonce(s.T),
    "interp_logit-5": lambda s, b: lower.interpolated(s, b, -5.0),
    "interp_logit+0": lambda s, b: lower.interpolated(s, b, 0.0),
    "interp_logit+5": lambda s, b: lower.interpolated(s, b, 5.0),
    "interp_alpha0.01": lambda s, b: lower.interpolated(s, b, math.log(0.01 / 0.99)),
    "loo_upper": lambda s, b: upper.leave_one_out(s),
    "club": lambda s, b: upper.club(s),
    "club_offdiag": lambda s, b: upper.club(s, "off-diagonal"),
}
# These work on a batch of one.
SINGLE = {"nwj_alldiag", "dv_alldiag", "infonce_axis1", "infonce_axis0", "club"}


def _off(s):
    return [s[i, j] for i in range(len(s)) for j in range(len(s)) if i != j]


def _joint(s):
    return [s[i, i] for i in range(len(s))]


def _log_mean_exp(values):
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values) / len(values))


def _exp(value):
    return math.exp(value) if value < 700 else math.inf


def _tuba(s, b):
    s = s - np.reshape(b, (-1, 1))
    return 1 + np.mean(_joint(s)) - np.mean([_exp(v) for v in _off(s)])


def _row_log_mean(s, i, without):
    return _log_mean_exp([s[i, j] for j in range(len(s)) if j != without])


def _interpolated(s, b, alpha):
    size = len(s)

    def log_mix(i, j):
        return np.logaddexp(math.log(alpha) + _row_log_mean(s, i, j), math.log1p(-alpha) + b[i])

    pairs = [(i, j) for i in range(size) for j in range(size) if i != j]
    joint = np.mean([s[i, i] - log_mix(i, j) for i, j in pairs])
    return 1 + joint - np.mean([math.exp(s[i, j] - log_mix(i, i)) for i, j in pairs])


def _leave_one_out(s, b):
    return np.mean([s[i, i] - _row_log_mean(s, i, i) for i in range(len(s))])


def _sigmoid(logit):
    return 1 / (1 + math.exp(-logit))


LOOPS = {
    "nwj": lambda s, b: _tuba(s, np.ones(len(s))),
    "nwj_alldiag": lambda s, b: np.mean(_joint(s)) - np.mean([_exp(v - 1) for v in s.reshape(-1)]),
    "tuba": _tuba,
    "uba": _leave_one_out,
    "dv": lambda s, b: np.mean(_joint(s)) - _log_mean_exp(_off(s)),
    "dv_alldiag": lambda s, b: np.mean(_joint(s)) - _log_mean_exp(list(s.reshape(-1))),
    "mine_ema2": lambda s, b: np.mean(_joint(s)) - _log_mean_exp(_off(s)),
    "js_fgan": lambda s, b: (
        -np.mean([np.logaddexp(0, -v) for v in _joint(s)]) - np.mean([np.logaddexp(0, v) for v in _off(s)])
    ),
    "js_colab": lambda s, b: _tuba(s, np.ones(len(s))),
    "js_paper": lambda s, b: _tuba(s, np.zeros(len(s))),
    "smile_clip1": lambda s, b: np.mean(_joint(s)) - _log_mean_exp(list(np.clip(_off(s), -1, 1))),
    "smile_clip5": lambda s, b: np.mean(_joint(s)) - _log_mean_exp(list(np.clip(_off(s), -5, 5))),
    "infonce_axis1": lambda s, b: np.mean([s[i, i] - _row_log_mean(s, i, None) for i in range(len(s))]),
    "infonce_axis0": lambda s, b: LOOPS["infonce_axis1"](s.T, b),
    "interp_logit-5": lambda s, b: _interpolated(s, b, _sigmoid(-5)),
    "interp_logit+0": lambda s, b: _interpolated(s, b, 0.5),
    "interp_logit+5": lambda s, b: _interpolated(s, b, _sigmoid(5)),
    "interp_alpha0.01": lambda s, b: _interpolated(s, b, 0.01),
    "loo_upper": _leave_one_out,
    "club": lambda s, b: np.mean(_joint(s)) - np.mean(s),
    "club_offdiag": lambda s, b: np.mean(_joint(s)) - np.mean(_off(s)),
}


def scores_and_baseline(seed, size, scale=2.0):
    """Random scores with a raised diagonal, and a random baseline, float64."""
    rng = np.random.default_rng(seed)
    return scale * (rng.standard_normal((size, size)) + np.eye(size)), rng.standard_normal(size)
