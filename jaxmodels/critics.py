"""Critics of pairs, learned baselines and conditional densities for mutual-information bounds.

A critic scores all pairs of a batch in two stages, so that nothing of size K^2 d is stored: `encode` does what
depends on one side alone, in K steps, and `score` combines every row of the one with every row of the other. In
`score(*encode(x, y))` = `critic(x, y)`, rows are y, columns are x, the diagonal holds the joint pairs;
`paired(*encode(x, y))` are the scores of row i with row i alone. `score` also takes some rows of v only.

Published sizes: Poole et al. (ICML 2019) have two hidden layers of 256, an embedding of 32, Keras initialisation
("glorot"); CLUB (ICML 2020) one hidden layer, PyTorch initialisation ("torch").
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.dense import Dense
from jaxmodels.layers.initialisers import fan_in_uniform

Initialisation = Literal["glorot", "torch"]


class MLP(nn.Module):
    """Linear layers of the given widths with an activation between them: [..., c] -> [..., widths[-1]]."""

    widths: tuple[int, ...]
    initialisation: Initialisation = "glorot"
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, h: Float[Array, "... c"]) -> Float[Array, "... f"]:
        for i, width in enumerate(self.widths):
            h = h if i == 0 else self.activation(h)
            h = _linear(width, self.initialisation, self.dtype, f"layer_{i}")(h)
        return h


class Separable(nn.Module):
    """f(x, y) = g(x)^T h(y), g and h networks to an embedding: one product of matrices for K^2 scores."""

    hidden: tuple[int, ...] = (256, 256)
    embedding: int = 32
    initialisation: Initialisation = "glorot"
    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        widths = (*self.hidden, self.embedding)
        self.g = MLP(widths, self.initialisation, dtype=self.dtype)
        self.h = MLP(widths, self.initialisation, dtype=self.dtype)

    def __call__(self, x: Float[Array, "k dx"], y: Float[Array, "k dy"]) -> Float[Array, "k k"]:
        return self.score(*self.encode(x, y))

    def encode(
        self, x: Float[Array, "k dx"], y: Float[Array, "k dy"]
    ) -> tuple[Float[Array, "k e"], Float[Array, "k e"]]:
        """g(x) and h(y)."""
        return _at_least_float32(self.g(x)), _at_least_float32(self.h(y))

    def score(self, u: Float[Array, "k e"], v: Float[Array, "r e"]) -> Float[Array, "r k"]:
        """All inner products."""
        return _inner_products(u, v)

    def paired(self, u: Float[Array, "k e"], v: Float[Array, "k e"]) -> Float[Array, " k"]:
        """Inner products of row i with row i."""
        return jnp.sum(u * v, axis=-1)


class Bilinear(nn.Module):
    """f(x, y) = x^T W y (van den Oord et al. 2018, for given representations x and y)."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def encode(
        self, x: Float[Array, "k dx"], y: Float[Array, "k dy"]
    ) -> tuple[Float[Array, "k dy"], Float[Array, "k dy"]]:
        """W^T x and y."""
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), (x.shape[-1], y.shape[-1]))
        u = x.astype(self.dtype) @ kernel.astype(self.dtype)
        return _at_least_float32(u), _at_least_float32(y.astype(self.dtype))

    def __call__(self, x: Float[Array, "k dx"], y: Float[Array, "k dy"]) -> Float[Array, "k k"]:
        return self.score(*self.encode(x, y))

    def score(self, u: Float[Array, "k dy"], v: Float[Array, "r dy"]) -> Float[Array, "r k"]:
        """All inner products."""
        return _inner_products(u, v)

    def paired(self, u: Float[Array, "k dy"], v: Float[Array, "k dy"]) -> Float[Array, " k"]:
        """Inner products of row i with row i."""
        return jnp.sum(u * v, axis=-1)


class Concatenated(nn.Module):
    """f(x, y) = MLP([x, y]), hidden ReLU layers and one linear unit.

    The first layer is computed once per x and once per y and only summed per pair; the others see every pair.

    Attributes:
      hidden: widths of the hidden layers, at least one.
      block: rows whose hidden layers exist at a time, in the gradient too, which then computes them again; divides
        the number of rows if that is larger. None: all rows, K^2 times the widest layer in memory.
    """

    hidden: tuple[int, ...] = (256, 256)
    initialisation: Initialisation = "glorot"
    block: int | None = None
    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        self.first = _PairLinear(self.hidden[0], self.initialisation, self.dtype)
        self.rest = MLP((*self.hidden[1:], 1), self.initialisation, dtype=self.dtype)

    def __call__(self, x: Float[Array, "k dx"], y: Float[Array, "k dy"]) -> Float[Array, "k k"]:
        return self.score(*self.encode(x, y))

    def encode(
        self, x: Float[Array, "k dx"], y: Float[Array, "k dy"]
    ) -> tuple[Float[Array, "k h"], Float[Array, "k h"]]:
        """The two parts of the first layer: its sum over the columns of x, and over those of y plus the bias."""
        return self.first(x, y)

    def score(self, u: Float[Array, "k h"], v: Float[Array, "r h"]) -> Float[Array, "r k"]:
        """The network of every pair."""
        rows, block = len(v), self.block
        if block is None or block >= rows:
            return self._all_pairs(u, v)
        if block < 1 or rows % block:
            raise ValueError(f"block {block} does not divide the {rows} rows of scores")
        # Blocks of rows i, i + r/block, ...: with rows divided over devices each block is divided too.
        blocks = jnp.moveaxis(v.reshape(block, -1, v.shape[-1]), 1, 0)
        scan = nn.scan(
            nn.remat(lambda critic, _, v: ((), critic._all_pairs(u, v)), prevent_cse=False),
            variable_broadcast="params",
            split_rngs={"params": False},
        )
        _, scores = scan(self, (), blocks)
        return jnp.moveaxis(scores, 0, 1).reshape(rows, -1)

    def paired(self, u: Float[Array, "k h"], v: Float[Array, "k h"]) -> Float[Array, " k"]:
        """The network of row i with row i."""
        return _at_least_float32(self.rest(nn.relu(u + v))[..., 0])

    def _all_pairs(self, u: jax.Array, v: jax.Array) -> jax.Array:
        return self.paired(u[None], v[:, None])


class LogBaseline(nn.Module):
    """log a(y) of TUBA and I_alpha, learned: an MLP with one output, [k, d] -> [k].

    a is positive because its logarithm is the output. The published width is 512, for a critic of 256.
    """

    hidden: tuple[int, ...] = (512, 512)
    initialisation: Initialisation = "glorot"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, y: Float[Array, "k d"]) -> Float[Array, " k"]:
        return _at_least_float32(MLP((*self.hidden, 1), self.initialisation, dtype=self.dtype)(y)[..., 0])


class ConditionalGaussian(nn.Module):
    """q(y|x) = N(mu(x), diag exp(logvar(x))) for CLUB and BA: [k, dx] -> (mu, logvar), each [k, features].

    Two networks that share nothing. CLUB's code halves its `hidden_size`: the published 15 is hidden=(7,).

    Attributes:
      features: dimensions of y.
      hidden: widths of the hidden layers; () is linear.
      bound: logvar = bound * tanh(.); None is raw. CLUB has 1, its information bottleneck 2: a log-variance
        beyond it cannot be represented.
      activation: between the layers; the information bottleneck has ELU.
    """

    features: int
    hidden: tuple[int, ...] = (7,)
    bound: float | None = 1.0
    initialisation: Initialisation = "torch"
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "k dx"]) -> tuple[Float[Array, "k d"], Float[Array, "k d"]]:
        widths = (*self.hidden, self.features)
        mu = MLP(widths, self.initialisation, self.activation, self.dtype, name="mu")(x)
        logvar = MLP(widths, self.initialisation, self.activation, self.dtype, name="logvar")(x)
        logvar = _at_least_float32(logvar)
        return _at_least_float32(mu), logvar if self.bound is None else self.bound * jnp.tanh(logvar)


class _PairLinear(nn.Module):
    """The linear layer of [x, y], as its parts W_x x and W_y y + b."""

    features: int
    initialisation: Initialisation
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        size = x.shape[-1] + y.shape[-1]
        of_kernel, of_bias = _initialisers(self.initialisation, size)
        kernel = self.param("kernel", of_kernel, (size, self.features)).astype(self.dtype)
        bias = self.param("bias", of_bias, (self.features,)).astype(self.dtype)
        x, y = x.astype(self.dtype), y.astype(self.dtype)
        return x @ kernel[: x.shape[-1]], y @ kernel[x.shape[-1] :] + bias[None]


def _initialisers(name: Initialisation, fan_in: int) -> tuple[Callable, Callable]:
    match name:
        case "glorot":
            return nn.initializers.glorot_uniform(), nn.initializers.zeros
        case "torch":
            return fan_in_uniform(fan_in), fan_in_uniform(fan_in)
    raise ValueError(f"initialisation {name!r} is unknown: choose glorot or torch")


def _linear(features: int, initialisation: Initialisation, dtype: jnp.dtype, name: str) -> nn.Module:
    if initialisation == "torch":
        return Dense(features, dtype=dtype, name=name)
    kernel, bias = _initialisers(initialisation, features)
    return nn.Dense(features, dtype=dtype, kernel_init=kernel, bias_init=bias, name=name)


def _inner_products(u: Float[Array, "k e"], v: Float[Array, "r e"]) -> Float[Array, "r k"]:
    # The bounds exponentiate scores: they get no reduced precision.
    return jnp.matmul(v, u.T, precision=jax.lax.Precision.HIGHEST)


def _at_least_float32(h: jax.Array) -> jax.Array:
    return h.astype(jnp.promote_types(h.dtype, jnp.float32))
