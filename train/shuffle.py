"""Shuffled epochs as a function of (key, step): nothing to store, nothing to restore.

The order of an epoch is a keyed bijection of range(size), a Feistel network with cycle walking, that is
evaluated at the positions of one batch only: O(batch) work whatever the size of the set.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, UInt32

ROUNDS = 6


def epoch_index(
    key: Key[Array, ""], step: Int[Array, ""] | int, batch: int, size: int
) -> Int[Array, "batch"]:
    """The rows of training step `step`.

    Steps walk through positions 0, 1, 2, ...; each run of `size` positions is an epoch, in which every row
    occurs exactly once, in an order drawn from the key and the epoch's number. A batch may straddle epochs or
    hold several. The result is the same on every number of devices.

    Args:
      key: of the shuffle; not consumed, the same key serves all steps.
      step: how many steps came before, below 2^31; no product of it overflows.
      batch: rows per step, below 2^30.
      size: rows of the set, below 2^30.

    Raises:
      ValueError: batch or size out of range.
    """
    if not (1 <= batch < 2**30 and 1 <= size < 2**30):
        raise ValueError(f"batch and size must lie in [1, 2^30), not {batch} and {size}")
    epoch, start = _divmod_of_product(jnp.asarray(step, jnp.uint32), batch, size)
    position = start + jnp.arange(batch, dtype=jnp.uint32)
    epochs, offsets = epoch + position // size, position % size
    round_keys = jax.vmap(lambda e: jax.random.bits(jax.random.fold_in(key, e), (ROUNDS,)))(epochs)
    return _permute(offsets, round_keys.T, size).astype(jnp.int32)


def _divmod_of_product(a: UInt32[Array, ""], b: int, c: int) -> tuple[UInt32[Array, ""], UInt32[Array, ""]]:
    """divmod(a * b, c) without forming the product: double and add, bit by bit of `a`, in 32-bit words."""

    def bit(i, state):
        quotient, rest = state
        rest = 2 * rest + jnp.uint32(b) * ((a >> (31 - i).astype(jnp.uint32)) & 1)
        return 2 * quotient + rest // c, rest % c

    return jax.lax.fori_loop(0, 32, bit, (jnp.uint32(0), jnp.uint32(0)))


def _permute(x: UInt32[Array, "B"], round_keys: UInt32[Array, "rounds B"], size: int) -> UInt32[Array, "B"]:
    """A bijection of range(size): walk a bijection of the next power of four until it is back in range."""
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)

    def walk(x):
        return jnp.where(x < size, x, _feistel(x, round_keys, half_bits))

    return jax.lax.while_loop(lambda x: (x >= size).any(), walk, _feistel(x, round_keys, half_bits))


def _feistel(
    x: UInt32[Array, "B"], round_keys: UInt32[Array, "rounds B"], half_bits: int
) -> UInt32[Array, "B"]:
    """A balanced Feistel network on words of 2 * half_bits bits; a bijection, as every round is."""
    mask = jnp.uint32((1 << half_bits) - 1)
    left, right = x >> half_bits, x & mask
    for key in round_keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return left << half_bits | right


def _mix(x: UInt32[Array, "B"]) -> UInt32[Array, "B"]:
    """The finaliser of MurmurHash3: every bit of the word reaches every bit of the result."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = (x ^ (x >> shift)) * jnp.uint32(factor)
    return x ^ (x >> 16)
