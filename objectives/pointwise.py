"""Losses of one score of one item: was it clicked or not? (CDAE: Wu, DuBois, Zheng & Ester, WSDM 2016.)"""

from typing import Literal

import jax
import optax
from jaxtyping import Array, Float

PointwiseLoss = Literal["square", "square-half", "ce", "log", "hinge", "sqhinge"]


def pointwise(scores: Float[Array, "*n"], x: Float[Array, "*n"], loss: PointwiseLoss) -> Float[Array, "*n"]:
    """l(x, s) of every cell, for clicks x in {0, 1}; y = 2x - 1 is the label in {-1, 1}.

    `square` (x - s)^2 is the official code's, `square-half` (x - s)^2 / 2 the paper's; `ce` is the cross-entropy of
    sigmoid(s) and `log` log(1 + exp(-y s)), the same loss under two names; `hinge` max(0, 1 - y s), and `sqhinge` half
    its square. The official code labels items without a click 0 for those as well, where they have no gradient; here
    they are -1, as in the paper.
    """
    y = 2 * x - 1
    match loss:
        case "square":
            return (x - scores) ** 2
        case "square-half":
            return (x - scores) ** 2 / 2
        case "ce":
            return optax.sigmoid_binary_cross_entropy(scores, x)
        case "log":
            return jax.nn.softplus(-y * scores)
        case "hinge":
            return jax.nn.relu(1 - y * scores)
        case "sqhinge":
            return jax.nn.relu(1 - y * scores) ** 2 / 2
    raise ValueError(f"loss {loss!r} is unknown: choose one of {', '.join(PointwiseLoss.__args__)}")
