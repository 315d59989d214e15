"""The priors of GWAE: samplers that map noise to codes [b, latent_dim].

Every prior has two methods: `noise(key, size)` draws what one call consumes, `__call__(noise, train)` maps it to
codes and is differentiable in the prior's parameters. Those with batch normalisation have codes of mean 0 and
variance 1 in each dimension over the batch, and running statistics (collection "batch_stats") in eval mode.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxmodels.layers.activations import leaky_silu
from jaxmodels.layers.batch_norm import BatchNorm
from jaxmodels.layers.dense import Dense
from jaxmodels.layers.initialisers import fan_in_uniform

PriorName = Literal[
    "neural",
    "factorised-neural",
    "gaussian-mixture",
    "causal",
    "vector-quantised",
    "normal",
    "uniform",
    "spherical",
]
Noise = dict[str, jax.Array]


def make_prior(name: PriorName, latent_dim: int, components: int = 10, mixture: str = "coded") -> "Prior":
    """The prior of that name; `components` counts the Gaussians of the mixture or the rows of the codebook."""
    match name:
        case "gaussian-mixture":
            return GaussianMixture(latent_dim, components, mixture)
        case "vector-quantised":
            return VectorQuantised(latent_dim, components)
    simple = {
        "neural": Neural,
        "factorised-neural": FactorisedNeural,
        "causal": Causal,
        "normal": Normal,
        "uniform": Uniform,
        "spherical": Spherical,
    }
    if name not in simple:
        raise ValueError(f"prior {name!r} is unknown: choose one of {', '.join(get_args(PriorName))}")
    return simple[name](latent_dim)


class Prior(nn.Module):
    """A sampler of codes [b, latent_dim]; consumes standard normal noise unless it says otherwise."""

    latent_dim: int

    def noise(self, key: jax.Array, size: int) -> Noise:
        """What one call that returns `size` codes consumes."""
        return {"normal": jax.random.normal(key, (size, self.latent_dim))}

    def __call__(self, noise: Noise, train: bool = False) -> Float[Array, "b l"]:
        """Codes [b, latent_dim] from noise."""
        raise NotImplementedError


class Normal(Prior):
    """N(0, I)."""

    @nn.compact
    def __call__(self, noise: Noise, train: bool = False) -> Float[Array, "b l"]:
        """The noise itself."""
        return noise["normal"]


class Uniform(Prior):
    """Uniform on [-sqrt 3, sqrt 3] in each dimension: unit variance."""

    def noise(self, key: jax.Array, size: int) -> Noise:
        """U[0, 1) noise."""
        return {"uniform": jax.random.uniform(key, (size, self.latent_dim))}

    @nn.compact
    def __call__(self, noise: Noise, train: bool = False) -> Float[Array, "b l"]:
        """sqrt 3 (2 u - 1)."""
        return 3**0.5 * (2 * noise["uniform"] - 1)


class Spherical(Prior):
    """Uniform on the unit sphere."""

    @nn.compact
    def __call__(self, noise: Noise, train: bool = False) -> Float[Array, "b l"]:
        """e / ||e||."""
        e = noise["normal"]
        return e / jnp.maximum(jnp.linalg.norm(e, axis=-1, keepdims=True), 1e-12)


class Neural(Prior):
    """NP: an MLP L -> 4L -> 4L -> 4L -> L of normal noise, then batch normalisation."""

    @nn.compact
    def __call__(self, noise: Noise, train: bool = False) -> Float[Array, "b l"]:
        """BN(MLP(e))."""
        h = noise["normal"]
        for _ in range(3):
            h = leaky_silu(Dense(4 * self.latent_dim)(h))
        return BatchNorm(momentum=0.5, affine=False)(Dense(self.latent_dim)(h), train)


class FactorisedNeural(Prior):
    """FNP: an independent MLP 1 -> 4 -> 4 -> 4 -> 1 per dimension, then batch normalisation."""

    @nn.compact
    def __call__(self, noise: Noise, train: bool = False) -> Float[Array, "b l"]:
        """BN(MLP_i(e_i)) in each dimension i."""
        h = noise["normal"][..., None]
        for layer, features in enumerate((4, 4, 4, 1)):
            h = _PerDimension(features)(h)
            if layer < 3:
                h = leaky_silu(h)
        return BatchNorm(momentum=0.5, affine=False)(h[..., 0], train)


class _PerDimension(nn.Module):
    """A linear layer of its own for each of the l dimensions: [b, l, c] -> [b, l, features]."""

    features: int

    @nn.compact
    def __call__(self, h: Float[Array, "b l c"]) -> Float[Array, "b l f"]:
        latents, size = h.shape[1:]
        kernel = self.param("kernel", fan_in_uniform(size), (latents, size, self.features))
        bias = self.param("bias", fan_in_uniform(size), (latents, self.features))
        return jnp.einsum("blc,lcf->blf", h, kernel) + bias[None]


class GaussianMixture(Prior):
    """GMP: a mixture of K Gaussians, the component drawn by hard Gumbel-max, then batch normalisation.

    The mixing logits get no gradient. `mixture="coded"` multiplies the noise by the column sums of the component's
    matrix S, as the official code does (a diagonal mixture in effect); `"full"` is the paper's m + S e.
    """

    components: int
    mixture: str = "coded"

    def noise(self, key: jax.Array, size: int) -> Noise:
        """U[0, 1) noise [b, K] for the component and normal noise [b, L]."""
        component, normal = jax.random.split(key)
        return {
            "uniform": jax.random.uniform(component, (size, self.components)),
            "normal": jax.random.normal(normal, (size, self.latent_dim)),
        }

    @nn.compact
    def __call__(self, noise: Noise, train: bool = False) -> Float[Array, "b l"]:
        """BN(m_k + S_k e), k ~ softmax(logits)."""
        count, size = self.components, self.latent_dim
        mean = self.param("mean", nn.initializers.normal(1.0), (count, size))
        root = self.param("root", _near_identity, (count, size, size))
        logits = self.param("logits", nn.initializers.normal(1.0), (count,))
        k = jnp.argmax(jax.nn.log_softmax(logits)[None] + gumbel(noise["uniform"]), axis=-1)
        if self.mixture == "coded":
            z = mean[k] + noise["normal"] * root.sum(1)[k]
        else:
            z = mean[k] + jnp.einsum("bij,bj->bi", root[k], noise["normal"])
        return BatchNorm(momentum=0.5, affine=False)(z, train)


def _near_identity(key: jax.Array, shape: tuple[int, ...]) -> Float[Array, "k l l"]:
    return jnp.broadcast_to(jnp.eye(shape[-1]), shape) + 0.01 * jax.random.normal(key, shape)


class VectorQuantised(Prior):
    """The codebook row nearest to normal noise."""

    components: int

    @nn.compact
    def __call__(self, noise: Noise, train: bool = False) -> Float[Array, "b l"]:
        """The nearest of the E embeddings in squared Euclidean distance."""
        embeddings = self.param("embeddings", nn.initializers.normal(1.0), (self.components, self.latent_dim))
        return embeddings[self.nearest(noise["normal"], embeddings)]

    def nearest(self, e: Float[Array, "b l"], embeddings: Float[Array, "k l"]) -> Int[Array, " b"]:
        """Index of the nearest embedding to each row."""
        return jnp.argmin(jnp.sum((e[:, None] - embeddings[None]) ** 2, axis=-1), axis=-1)


class Causal(Prior):
    """A linear structural equation model on a random directed acyclic graph, then affine batch normalisation.

    Every call draws a permutation (relaxed sorting of perturbed scores) and edges (two-class Gumbel softmax);
    eval mode makes both hard with straight-through gradients. As in the official code every one of the seven
    layers is fed the noise, so that only the last one counts; `composed=True` feeds each the one before.
    """

    composed: bool = False
    temperature: float = 1.0
    layers: int = 7

    def noise(self, key: jax.Array, size: int) -> Noise:
        """Normal noise [b, L]; U[0, 1) noise [L] for the permutation and [L, L, 2] for the edges."""
        normal, permutation, edges = jax.random.split(key, 3)
        shape = (self.latent_dim, self.latent_dim, 2)
        return {
            "normal": jax.random.normal(normal, (size, self.latent_dim)),
            "permutation": jax.random.uniform(permutation, shape[:1]),
            "edges": jax.random.uniform(edges, shape),
        }

    @nn.compact
    def __call__(self, noise: Noise, train: bool = False) -> Float[Array, "b l"]:
        """BN(e + e (W * A^T) + b)."""
        adjacency = self.adjacency(noise, train)
        e = h = noise["normal"]
        bound = fan_in_uniform(self.latent_dim)
        for i in range(self.layers):
            kernel = self.param(f"kernel_{i}", bound, adjacency.shape)
            bias = self.param(f"bias_{i}", bound, adjacency.shape[:1])
            x = h if self.composed else e
            h = x + x @ (kernel * adjacency.T) + bias[None]
        return BatchNorm(momentum=0.5)(h, train)

    def adjacency(self, noise: Noise, train: bool) -> Float[Array, "l l"]:
        """The drawn graph: strictly upper triangular in the order of the drawn permutation."""
        size = self.latent_dim
        score = self.param("permutation_score", nn.initializers.normal(1.0), (size,))
        edge_score = self.param("edge_score", nn.initializers.normal(1.0), (size, size))
        order = relaxed_sort(score + gumbel(noise["permutation"]), self.temperature)
        logits = jnp.stack([edge_score, -edge_score], axis=-1) + gumbel(noise["edges"])
        edges = jax.nn.softmax(logits / self.temperature, axis=-1)
        if not train:
            # The official code transposes the permutation when it makes it hard: another graph, as acyclic.
            order, edges = _straight_through(order).T, _straight_through(edges)
        mask = order @ jnp.triu(jnp.ones((size, size)), k=1) @ order.T
        return edges[..., 1] * mask


def gumbel(uniform: Float[Array, "..."]) -> Float[Array, "..."]:
    """Standard Gumbel noise -log(-log u) from u in [0, 1)."""
    u = jnp.maximum(uniform, jnp.finfo(uniform.dtype).tiny)
    return -jnp.log(-jnp.log(u))


def relaxed_sort(s: Float[Array, " n"], temperature: float) -> Float[Array, "n n"]:
    """NeuralSort (Grover et al. 2019): a row-stochastic relaxation of the permutation that sorts s downwards."""
    size = len(s)
    spread = jnp.abs(s[:, None] - s[None]).sum(1)
    weights = size - 1 - 2 * jnp.arange(size)
    return jax.nn.softmax((s[None] * weights[:, None] - spread[None]) / temperature, axis=-1)


def _straight_through(soft: Float[Array, "... n"]) -> Float[Array, "... n"]:
    hard = jax.nn.one_hot(jnp.argmax(soft, axis=-1), soft.shape[-1], dtype=soft.dtype)
    return hard + soft - jax.lax.stop_gradient(soft)
