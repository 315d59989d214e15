"""The layout that every score shares: codes are float [N, L], factors integers [N, F], row n is image n."""

import numpy as np
from jaxtyping import Float, Int

from train.errors import UserError


def checked(
    codes: Float[np.ndarray, "N L"], factors: Int[np.ndarray, "N F"]
) -> tuple[Float[np.ndarray, "N L"], Int[np.ndarray, "N F"]]:
    """Returns both as NumPy arrays, the codes in float64.

    Raises:
      ValueError: the shapes don't fit, or the factors are not integers.
      UserError: a code is not finite.
    """
    codes, factors = np.asarray(codes, np.float64), np.asarray(factors)
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or not len(codes):
        raise ValueError(f"expected codes [N, L] and factors [N, F], got {codes.shape} and {factors.shape}")
    if not np.issubdtype(factors.dtype, np.integer):
        raise ValueError(f"factors are class indices and must be integers, not {factors.dtype}")
    require_finite(codes)
    return codes, factors


def require_finite(codes: Float[np.ndarray, "N L"]) -> None:
    """Raises UserError where a code is not finite."""
    bad = np.flatnonzero(~np.isfinite(codes).all(axis=0)).tolist()
    if bad:
        raise UserError("codes", f"columns {bad}", "not finite", "score an earlier checkpoint")


def require_two(codes: Float[np.ndarray, "N L"], factors: Int[np.ndarray, "N F"], score: str) -> None:
    """Raises UserError where a score that compares codes, and factors, has fewer than two of either."""
    latents, kinds = codes.shape[1], factors.shape[1]
    if latents < 2:
        remedy = "set --model.latent-dim to 2 or more"
        raise UserError("codes", f"[N, {latents}]", f"{score} compares codes and needs two", remedy)
    if kinds < 2:
        remedy = "use data with more known factors"
        raise UserError("factors", f"[N, {kinds}]", f"{score} compares factors and needs two", remedy)


def require_varied(factors: Int[np.ndarray, "N F"], score: str) -> None:
    """Raises UserError where a factor to be classified has one value only."""
    constant = np.flatnonzero((factors == factors[:1]).all(axis=0)).tolist()
    if constant:
        problem = f"constant, so that {score} is not defined"
        raise UserError("factors", f"columns {constant}", problem, "use more images or leave them out")


def top_gap(scores: Float[np.ndarray, "L F"]) -> Float[np.ndarray, " F"]:
    """Returns how far, per factor, the best code is ahead of the second."""
    second, best = np.sort(scores, axis=0)[-2:]
    return best - second
