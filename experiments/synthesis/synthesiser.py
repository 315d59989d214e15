"""Using a trained generator: layouts and styles in, images out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from jaxtyping import Float, UInt8

from train.data.layout_parts import Batch
from train.layout import Layout
from train.steps import gaugan
from train.steps.gaugan import GauGANState
from train.steps.gaugan_networks import GauGANConfig


@dataclass(frozen=True)
class Synthesiser:
    """A trained generator of one seed, on host arrays of any length, in calls of one size."""

    state: GauGANState
    config: GauGANConfig
    layout: Layout
    batch_size: int = 16

    def draw_styles(self, count: int, seed: int) -> Float[np.ndarray, "n z"] | None:
        """Styles from N(0, I); None where the generator has none."""
        if not self.config.vae:
            return None
        return np.random.default_rng(seed).standard_normal((count, self.config.latent_dim)).astype(np.float32)

    def styles(self, images: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n z"]:
        """The posterior means of the styles of images."""
        function = partial(_encode, config=self.config, layout=self.layout)
        return self._in_batches(function, images)

    def images(self, batch: Batch, z: Float[np.ndarray, "n z"] | None) -> UInt8[np.ndarray, "n h w 3"]:
        """Images of layouts in the given styles."""
        names = [name for name in ("label", "instance") if name in batch]
        function = partial(_generate, names=tuple(names), config=self.config, layout=self.layout)
        arrays = [batch[name] for name in names]
        return self._in_batches(function, *arrays, *([] if z is None else [z]))

    def _in_batches(self, function: Callable, *arrays: np.ndarray) -> np.ndarray:
        size, count, parts = self.batch_size, len(arrays[0]), []
        for start in range(0, count, size):
            rows = [np.asarray(a[start : start + size]) for a in arrays]
            padded = [np.concatenate([r, np.repeat(r[-1:], size - len(r), axis=0)]) for r in rows]
            parts.append(np.asarray(function(self.state, *padded))[: len(rows[0])])
        return np.concatenate(parts)


@partial(jax.jit, static_argnames=("names", "config", "layout"))
def _generate(
    state: GauGANState, *arrays: jax.Array, names: tuple[str, ...], config: GauGANConfig, layout: Layout
) -> jax.Array:
    batch = dict(zip(names, arrays, strict=False))
    z = arrays[len(names)] if len(arrays) > len(names) else None
    return gaugan.to_bytes(gaugan.generate(state, batch, z, config, layout))


@partial(jax.jit, static_argnames=("config", "layout"))
def _encode(state: GauGANState, image: jax.Array, config: GauGANConfig, layout: Layout) -> jax.Array:
    return gaugan.encode(state, image, config, layout)[0]
