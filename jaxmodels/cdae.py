"""The network of CDAE (Wu, DuBois, Zheng & Ester, WSDM 2016): a denoising autoencoder of clicks with a node per user.

z_u = h(W^T y_u + V_u + b) from the corrupted clicks y_u, and a score W'_i^T z_u + b'_i per item. The output is linear:
where the paper has a sigmoid there, it is part of the loss, as in the official code. With `tied` W' is W.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

HiddenActivation = Literal["identity", "sigmoid", "tanh"]
Corruption = Literal["mask", "gaussian"]


def corrupt(
    x: Float[Array, "b items"], noise: Float[Array, "b items"], kind: Corruption, amount: float
) -> Float[Array, "b items"]:
    """The network's input in training; its mean is x.

    Args:
      x: clicks.
      noise: uniform on [0, 1) for `mask`, standard normal for `gaussian`.
      kind: `mask`: each entry is zero with probability q = `amount`, else divided by 1 - q; q = 1 leaves nothing.
        `gaussian`: x + N(0, s^2) with s = `amount`, in the paper only.
      amount: q or s.
    """
    match kind:
        case "mask":
            return jnp.where(noise >= amount, x / max(1 - amount, 1e-12), 0.0)
        case "gaussian":
            return x + amount * noise


class CDAE(nn.Module):
    """Clicks [b, items] and users [b] -> scores [b, items]; a number that isn't a user's has no user node."""

    users: int
    items: int
    latent_dim: int
    activation: HiddenActivation
    tied: bool
    user_node: bool

    def setup(self) -> None:
        """W, V and W' are [n, latent_dim], uniform on +-4 sqrt(6 / (items + latent_dim)) as coded; biases are 0."""
        bound = 4 * (6 / (self.items + self.latent_dim)) ** 0.5

        def table(name: str, rows: int) -> Float[Array, "rows k"]:
            return self.param(name, _uniform(bound), (rows, self.latent_dim))

        self.inputs = table("inputs", self.items)
        self.outputs = self.inputs if self.tied else table("outputs", self.items)
        self.user_table = table("users", self.users) if self.user_node else None
        self.bias = self.param("bias", nn.initializers.zeros, (self.latent_dim,))
        self.item_bias = self.param("item_bias", nn.initializers.zeros, (self.items,))

    def __call__(self, x: Float[Array, "b items"], user: Int[Array, " b"]) -> Float[Array, "b items"]:
        return self.hidden(x, user) @ self.outputs.T + self.item_bias[None]

    def hidden(self, x: Float[Array, "b items"], user: Int[Array, " b"]) -> Float[Array, "b k"]:
        """z_u."""
        z = x @ self.inputs + self.bias[None]
        if self.user_table is not None:
            z = z + _rows(self.user_table, user)
        return activate(z, self.activation)


def activate(z: Float[Array, "..."], activation: HiddenActivation) -> Float[Array, "..."]:
    """h."""
    match activation:
        case "identity":
            return z
        case "sigmoid":
            return jax.nn.sigmoid(z)
        case "tanh":
            return jnp.tanh(z)


def _rows(table: Float[Array, "n k"], index: Int[Array, " b"]) -> Float[Array, "b k"]:
    """table[index], and zeros for what lies outside the table."""
    inside = (index >= 0) & (index < len(table))
    return jnp.where(inside[:, None], table[jnp.where(inside, index, 0)], 0.0)


def _uniform(bound: float) -> nn.initializers.Initializer:
    def init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
