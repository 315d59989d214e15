"""A generator that compiles in seconds, for what no generator matters to."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import pytest
from flax import linen as nn

from jaxmodels.spade import SPADEResBlock, Style, to_image
from train.steps import gaugan_networks
from train.steps.gaugan_networks import GauGANConfig


class SmallGenerator(nn.Module):
    """One block in place of a generator's dozens, which take XLA most of a minute."""

    style: Style

    @nn.compact
    def __call__(self, layout: jax.Array, z: jax.Array | None, train: bool) -> jax.Array:
        x = layout
        if z is not None:
            x += nn.Dense(layout.shape[-1], name="fc")(z).reshape(-1, 1, 1, layout.shape[-1])
        return to_image(SPADEResBlock(4, self.style, name="head_0")(x, layout, train), self.style)


def of(config: GauGANConfig) -> SmallGenerator:
    return SmallGenerator(Style(norm=config.norm, spectral=config.spectral))


@contextmanager
def small_generators() -> Iterator[None]:
    """Networks that are made inside have the small generator."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaugan_networks, "_generator", of)
        yield
