"""3x3 convolutions of stride 1 by minimal filtering: 16 multiplications for every 2x2 pixels instead of 36.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016), F(2x2, 3x3): the image is cut into
4x4 tiles d, each two pixels from the next. With g the 3x3 kernel, a tile makes 2x2 pixels

    A^T [(G g G^T) * (B^T d B)] A,

where * is, at each of the 16 places, the matrix product over channels. All entries of the three matrices are 0, 1,
-1 or 1/2: errors of rounding are of the order of the direct form's, relative to the largest values of a tile.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Matrix = Sequence[Sequence[float]]
Grid = list[list[jax.Array]]
"""Arrays of one shape in rows and columns: the places of a tile."""

_B_T: Matrix = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
_G: Matrix = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
_A_T: Matrix = ((1, 1, 1, 0), (0, 1, -1, -1))
_A, _G_T = tuple(zip(*_A_T, strict=True)), tuple(zip(*_G, strict=True))


@jax.custom_vjp
def minimal_convolution(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c f"]
) -> Float[Array, "b h w f"]:
    """Convolution of stride 1 with one pixel of zeros on every side; h and w even.

    Without a gradient this is XLA's own convolution, which on CPU is the faster one forward. Under differentiation
    the forward pass filters too and keeps its tiles, four times the size of x, for the backward pass.
    """
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[Grid, Grid]]:
    tiles = _image_tiles(x)
    weights = _both_sides(_G, [list(row) for row in kernel])
    return _assemble(_products(tiles, weights), x.shape[:3]), (tiles, weights)


def _backward(saved: tuple[Grid, Grid], cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
    tiles, weights = saved
    # The image's gradient is a convolution with the mirrored kernel, and mirroring the kernel swaps the first and last
    # rows and columns of G g G^T.
    order = (3, 1, 2, 0)
    mirrored = [[weights[i][j].T for j in order] for i in order]
    by_image = _assemble(_products(_image_tiles(cotangent), mirrored), cotangent.shape[:3])
    pixels = [[cotangent[:, i::2, j::2].reshape(-1, cotangent.shape[-1]) for j in (0, 1)] for i in (0, 1)]
    transposed = [[tile.T for tile in row] for row in tiles]
    by_kernel = _both_sides(_G_T, _products(transposed, _both_sides(_A, pixels)))
    return by_image, jnp.stack([jnp.stack(row) for row in by_kernel])


minimal_convolution.defvjp(_forward, _backward)


def _products(left: Grid, right: Grid) -> Grid:
    """One product for each place; as a batched one they take up to twice as long on CPU."""
    return [[a @ b for a, b in zip(*rows, strict=True)] for rows in zip(left, right, strict=True)]


def _image_tiles(x: jax.Array) -> Grid:
    """B^T d B of all tiles, a grid of [b h/2 w/2, c]."""
    _, height, width, channels = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    tiles = [[padded[:, i : i + height : 2, j : j + width : 2] for j in range(4)] for i in range(4)]
    return [[place.reshape(-1, channels) for place in row] for row in _both_sides(_B_T, tiles)]


def _assemble(tiles: Grid, shape: tuple[int, ...]) -> jax.Array:
    """A^T m A of all tiles m, a grid of [b h/2 w/2, f], put together to images [*shape, f]."""
    batch, height, width = shape
    pixels = [
        [place.reshape(batch, height // 2, width // 2, -1) for place in row]
        for row in _both_sides(_A_T, tiles)
    ]
    rows = [jnp.stack(row, axis=3) for row in pixels]
    return jnp.stack(rows, axis=2).reshape(batch, height, width, -1)


def _both_sides(matrix: Matrix, grid: Grid) -> Grid:
    """matrix grid matrix^T."""
    rows = [[_combination(weights, column) for column in zip(*grid, strict=True)] for weights in matrix]
    return [[_combination(weights, row) for weights in matrix] for row in rows]


def _combination(weights: Sequence[float], arrays: Sequence[jax.Array]) -> jax.Array:
    first, *others = (a if w == 1 else w * a for w, a in zip(weights, arrays, strict=True) if w)
    return sum(others, first)
