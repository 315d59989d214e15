"""The network of GRU4Rec (Hidasi et al., ICLR 2016; Hidasi and Karatzoglou, CIKM 2018): one step through a session.

Items stand in tables of one row each, outside the modules, so that a training step can look up and change a few rows:
`output` [items, H] and `bias` [items] score the items, and what comes in is a row of `input`, or, with shared
embeddings, of `output` itself. The modules see rows alone.

The original (Theano) code and the author's PyTorch port have different cells: the original resets the state before
the recurrent product and its z weighs the candidate; the port's is torch.nn.GRUCell. Their quality is reported equal.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

Cell = Literal["original", "torch"]
Embedding = Literal["none", "separate", "shared"]
"""What an item is to the first layer: `none`, a row of its input weights; `separate`, an embedding of its own;
`shared`, its row of the output weights (called constrained in the official code)."""
Hidden = tuple[Float[Array, "b h"], ...]
Tables = Mapping[str, Array]


def uniform_blocks(blocks: int, sigma: float = 0.0) -> nn.initializers.Initializer:
    """U(-s, s) with s = sqrt(6 / (rows + columns)) of each of `blocks` equal groups of columns, or s = sigma > 0."""

    def init(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
        rows, columns = shape
        s = sigma or (6 / (rows + columns // blocks)) ** 0.5
        return jax.random.uniform(key, (rows, columns), dtype, -s, s)

    return init


class OriginalCell(nn.Module):
    """The cell of the original code; columns are in the order candidate, r, z.

    v = x Wx + b; [r | z] = sigma(v_rz + h Wrz); c = tanh((h * r) Wh + v_h); h' = (1 - z) h + z c.

    Attributes:
      features: H.
      project: whether x [b, d] is still to be multiplied by Wx; otherwise it is x Wx [b, 3H], looked up.
      sigma: as in `uniform_blocks`.
    """

    features: int
    project: bool = True
    sigma: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "b d"], h: Float[Array, "b h"]) -> Float[Array, "b h"]:
        size = self.features
        if self.project:
            x = x @ self.param("Wx", uniform_blocks(3, self.sigma), (x.shape[-1], 3 * size))
        v = x + self.param("b", nn.initializers.zeros, (3 * size,))[None]
        rz = nn.sigmoid(v[:, size:] + h @ self.param("Wrz", uniform_blocks(2, self.sigma), (size, 2 * size)))
        r, z = jnp.split(rz, 2, axis=-1)
        candidate = jnp.tanh(
            (h * r) @ self.param("Wh", uniform_blocks(1, self.sigma), (size, size)) + v[:, :size]
        )
        return (1 - z) * h + z * candidate


class TorchCell(nn.Module):
    """The cell of the PyTorch port; columns are in the order r, z, candidate, and z weighs the old state.

    v = x W + b; u = h U + b'; r, z = sigma(v_rz + u_rz); c = tanh(v_c + r * u_c); h' = (1 - z) c + z h.

    Attributes:
      features: H.
      project: whether x [b, d] is still to be multiplied by W; otherwise it is x W [b, 3H], looked up.
      sigma: as in `uniform_blocks`.
    """

    features: int
    project: bool = True
    sigma: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "b d"], h: Float[Array, "b h"]) -> Float[Array, "b h"]:
        size, init = 3 * self.features, uniform_blocks(3, self.sigma)
        if self.project:
            x = x @ self.param("weight_ih", init, (x.shape[-1], size))
        v = x + self.param("bias_ih", nn.initializers.zeros, (size,))[None]
        u = h @ self.param("weight_hh", init, (self.features, size))
        u = u + self.param("bias_hh", nn.initializers.zeros, (size,))[None]
        (v_r, v_z, v_c), (u_r, u_z, u_c) = jnp.split(v, 3, axis=-1), jnp.split(u, 3, axis=-1)
        r, z = nn.sigmoid(v_r + u_r), nn.sigmoid(v_z + u_z)
        return (1 - z) * jnp.tanh(v_c + r * u_c) + z * h


class GRU4Rec(nn.Module):
    """One step: rows of the items that come in and the states before -> the states after, of which the last scores.

    As in the official code, the state that is carried is the dropped-out one.

    Attributes:
      layers: H of each layer.
      cell: whose.
      embedding: what the rows are.
      dropout_embed: share of the input embedding that is dropped, of `separate` and `shared`.
      dropout_hidden: share of each layer's state that is dropped.
      sigma: as in `uniform_blocks`.
    """

    layers: tuple[int, ...]
    cell: Cell = "original"
    embedding: Embedding = "shared"
    dropout_embed: float = 0.0
    dropout_hidden: float = 0.0
    sigma: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "b d"], hidden: Hidden, train: bool = False) -> Hidden:
        cell = OriginalCell if self.cell == "original" else TorchCell
        if self.embedding != "none":
            x = nn.Dropout(self.dropout_embed)(x, deterministic=not train)
        after = []
        for i, (features, h) in enumerate(zip(self.layers, hidden, strict=True)):
            project = bool(i) or self.embedding != "none"
            h = cell(features, project, self.sigma, name=f"layer_{i}")(x, h)
            x = nn.Dropout(self.dropout_hidden)(h, deterministic=not train)
            after.append(x)
        return tuple(after)


def init_tables(
    key: jax.Array, items: int, layers: Sequence[int], embedding: Embedding, width: int, sigma: float = 0.0
) -> dict[str, jax.Array]:
    """{"output" [items, H of the last layer], "bias" [items], "input" [items, d] unless it is shared}.

    Args:
      key: of the draws.
      items: rows.
      layers: H of each layer.
      embedding: what comes in.
      width: d of separate embeddings; without embedding d = 3 H of the first layer.
      sigma: as in `uniform_blocks`.
    """
    output_key, input_key = jax.random.split(key)
    tables = {
        "output": uniform_blocks(1, sigma)(output_key, (items, layers[-1])),
        "bias": jnp.zeros(items),
    }
    if embedding == "separate":
        tables["input"] = uniform_blocks(1, sigma)(input_key, (items, width))
    if embedding == "none":
        tables["input"] = uniform_blocks(3, sigma)(input_key, (items, 3 * layers[0]))
    return tables


def input_table(tables: Tables) -> str:
    """The name of the table that incoming items are looked up in."""
    return "input" if "input" in tables else "output"


def zero_hidden(rows: int, layers: Sequence[int]) -> Hidden:
    """The states of `rows` sessions that begin."""
    return tuple(jnp.zeros((rows, features)) for features in layers)
