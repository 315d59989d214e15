"""3D Shapes as a function: six factors to an image (64 x 64 unless told otherwise), its label map and its instance map.

An approximation of the data set of Burgess and Kim (2018, github.com/google-deepmind/3d-shapes), fitted to
published frames: within 6/255 of them in mean absolute error, without the faint textures of the walls and the
floor. Results on it are results on `shapes3d-procedural`; published numbers need the real set (see
`train.data.files`).
"""

import colorsys
import functools
import math
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from train.data import scene

FACTOR_NAMES = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
FACTOR_SIZES = (10, 10, 10, 8, 4, 15)
SIZE = math.prod(FACTOR_SIZES)
IMAGE_SHAPE = (64, 64, 3)

Indices = TypeVar("Indices", Array, np.ndarray)

_PALETTE = np.round([[255 * v for v in colorsys.hsv_to_rgb(k / 10, 1, 1)] for k in range(10)]).astype(
    "float32"
)
_SKY = np.array((153, 226, 249), np.float32)
_SCALES = np.linspace(0.75, 1.25, 8, dtype=np.float32)
_ANGLES = np.radians(np.linspace(-30, 30, 15)).astype(np.float32)


def factors_to_index(factors: Int[Indices, "... 6"]) -> Int[Indices, "..."]:
    """Row of the data set that holds these factors, the last factor varying fastest.

    Args:
      factors: NumPy or JAX integers in the order of `FACTOR_NAMES`, each below its entry of `FACTOR_SIZES`.

    Returns:
      int32 indices in [0, 480000), of the same array type.
    """
    factors = factors.astype("int32")
    index = factors[..., 0]
    for i, size in enumerate(FACTOR_SIZES[1:], start=1):
        index = index * size + factors[..., i]
    return index


def index_to_factors(index: Int[Indices, "..."]) -> Int[Indices, "... 6"]:
    """The inverse of `factors_to_index`: int32 factors of NumPy or JAX indices in [0, 480000)."""
    index = index.astype("int32")
    columns = []
    for size in reversed(FACTOR_SIZES):
        columns.insert(0, index % size)
        index = index // size
    return index.__array_namespace__().stack(columns, axis=-1)


def _scene(factors: Int[Array, "6"], samples: int, size: int) -> tuple[scene.Hit, scene.Camera]:
    """What a grid of `samples` x `samples` rays per pixel meets: arrays [samples, samples, size, size].

    The sub-pixel axes lead, so that the longest contiguous loop is over pixels.
    """
    offsets = (jnp.arange(samples, dtype=jnp.float32) + 0.5) / samples
    pixels = jnp.arange(size, dtype=jnp.float32)
    down, right, rows, columns = jnp.meshgrid(offsets, offsets, pixels, pixels, indexing="ij")
    unit = IMAGE_SHAPE[0] / size  # the camera is given in pixels of the data set's own size
    camera = scene.make_camera(
        jnp.asarray(_ANGLES)[factors[5]], unit * (rows + down), unit * (columns + right)
    )
    return scene.cast(camera, scene.make_body(factors[4], jnp.asarray(_SCALES)[factors[3]])), camera


def render(factors: Int[Array, "6"], size: int = IMAGE_SHAPE[0]) -> UInt8[Array, "size size 3"]:
    """The image of six factors: a pure function, to be jitted and vmapped; bytes of sRGB.

    Every pixel is the mean of 2 x 2 rays. A surface's colour is its base colour times a gain, plus a
    highlight, clipped; the sky has one colour.

    Args:
      factors: of one example.
      size: pixels along either side; the view is the same for all.
    """
    hit, camera = _scene(factors, 2, size)
    gain, highlight = scene.shade(hit, camera.forward)
    on_floor = (hit.label == scene.FLOOR) | (hit.label == scene.SHADOW)
    on_body = (hit.label >= scene.CUBE) & (hit.label <= scene.CAPSULE)

    def channel(i: int) -> Float[Array, "size size"]:
        floor, wall, body = (jnp.asarray(_PALETTE[:, i])[factors[k]] for k in range(3))
        base = jnp.where(on_body, body, jnp.where(on_floor, floor, wall))
        lit = jnp.clip(base * gain + 255 * highlight, 0, 255)
        return jnp.where(hit.label == scene.SKY, _SKY[i], lit).mean((0, 1))

    return jnp.round(jnp.stack([channel(i) for i in range(3)], -1)).astype(jnp.uint8)


def render_batch(factors: Int[Array, "B 6"], size: int = IMAGE_SHAPE[0]) -> UInt8[Array, "B size size 3"]:
    """`render` of every row."""
    return _of_every_row(functools.partial(render, size=size), factors)


def label_map_batch(factors: Int[Array, "B 6"], size: int = IMAGE_SHAPE[0]) -> UInt8[Array, "B size size"]:
    """`label_map` of every row."""
    return _of_every_row(functools.partial(label_map, size=size), factors)


def _of_every_row(fn: Callable[[Array], Array], factors: Int[Array, "B 6"]) -> Array:
    """On a CPU one image after another, whose rays stay in the cache: for 64 images half the time and a sixtieth
    of the memory of `vmap`. Elsewhere all at once, each device its own share of a sharded batch.
    """
    return jax.lax.platform_dependent(factors, cpu=functools.partial(jax.lax.map, fn), default=jax.vmap(fn))


def label_map(factors: Int[Array, "6"], size: int = IMAGE_SHAPE[0]) -> UInt8[Array, "size size"]:
    """The surface at each pixel's centre.

    0 sky, 1 floor, 2 back wall, 3 left wall, 4 right wall, 5 cube, 6 cylinder, 7 sphere, 8 capsule, 9 shadow
    on the floor.
    """
    hit, _ = _scene(factors, 1, size)
    return hit.label[0, 0].astype(jnp.uint8)


def instance_map(factors: Int[Array, "6"]) -> UInt8[Array, "64 64"]:
    """The thing at each pixel's centre, whatever its class.

    0 sky, 1 floor, 2 back wall, 3 left wall, 4 right wall, 5 the object, 6 its shadow. A surface that the
    object cuts in two stays one thing.
    """
    thing_of_label = jnp.array((0, 1, 2, 3, 4, 5, 5, 5, 5, 6), jnp.uint8)
    return thing_of_label[label_map(factors)]
