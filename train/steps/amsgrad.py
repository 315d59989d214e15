"""AMSGrad (Reddi, Kale & Kumar 2018) as PyTorch defines it."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree


class AMSGradState(NamedTuple):
    """mu, nu: moving averages of the gradient and of its square; nu_max: the largest nu so far."""

    count: Int[Array, ""]
    mu: PyTree
    nu: PyTree
    nu_max: PyTree


def amsgrad(
    learning_rate: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Adam whose denominator never shrinks: torch.optim.Adam(amsgrad=True).

    The step is lr / (1 - b1^t) mu / (sqrt(nu_max) / sqrt(1 - b2^t) + eps), where nu_max is the maximum over the
    uncorrected nu. optax.amsgrad takes the maximum over nu / (1 - b2^t): the largest corrected value stays that of
    a large early gradient, and its steps are shorter.
    """

    def init(params: PyTree) -> AMSGradState:
        mu, nu, nu_max = (jax.tree.map(jnp.zeros_like, params) for _ in range(3))
        return AMSGradState(jnp.zeros((), jnp.int32), mu, nu, nu_max)

    def update(updates: PyTree, state: Any, params: PyTree = None) -> tuple[PyTree, AMSGradState]:
        count = state.count + 1
        mu = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, updates)
        nu = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g**2, state.nu, updates)
        nu_max = jax.tree.map(jnp.maximum, state.nu_max, nu)
        # 1 - b^t, where b = 0.999 rounded to float32 would cost two digits at the first steps.
        correction1, correction2 = (-jnp.expm1(count * math.log(b)) for b in (b1, b2))
        step_size, root = learning_rate / correction1, jnp.sqrt(correction2)
        updates = jax.tree.map(lambda m, v: -step_size * m / (jnp.sqrt(v) / root + eps), mu, nu_max)
        return updates, AMSGradState(count, mu, nu, nu_max)

    return optax.GradientTransformation(init, update)
