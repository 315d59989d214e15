"""Distances between two sets of images by the features that a network has of them, float [N, d].

The network is the caller's, and every number has to name it: a Frechet distance is called FID only on the 2048 pooled
features of the Inception network that pytorch-fid uses. All three depend on N, the Frechet distance with a bias that
grows as N falls: state it too.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from train.errors import UserError

ROWS_AT_ONCE = 1024
"""Rows of a matrix of distances that exist at a time."""


def in_batches(
    network: Callable[[np.ndarray], np.ndarray], images: np.ndarray, batch_size: int = 32
) -> Iterator[Float[np.ndarray, "b d"]]:
    """The features of all images, a batch at a time; the network sees batches of one size only.

    The last batch is filled up with copies of its first image, whose features are dropped.
    """
    for start in range(0, len(images), batch_size):
        batch = np.asarray(images[start : start + batch_size])
        filling = np.repeat(batch[:1], batch_size - len(batch), axis=0)
        yield np.asarray(network(np.concatenate([batch, filling])))[: len(batch)]


# The Frechet distance ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of features, in float64; those of two sets merge, so that none of the features is kept.

    Attributes:
      count: N.
      mean: over the set.
      scatter: the sum over the set of (f - mean) (f - mean)^T.
    """

    count: int
    mean: Float[np.ndarray, " d"]
    scatter: Float[np.ndarray, "d d"]

    @classmethod
    def of(cls, features: Float[np.ndarray, "N d"]) -> Self:
        """The moments of features that are at hand.

        Raises:
          UserError: a feature is not finite.
        """
        features = _checked(features)
        mean = features.mean(axis=0)
        centred = features - mean
        return cls(len(features), mean, centred.T @ centred)

    @classmethod
    def of_batches(cls, batches: Iterable[Float[np.ndarray, "b d"]]) -> Self:
        """The moments of all features that come by.

        Raises:
          ValueError: no batch came.
        """
        total = None
        for batch in batches:
            total = cls.of(batch) if total is None else total.merge(cls.of(batch))
        if total is None:
            raise ValueError("moments of no features")
        return total

    def merge(self, other: Self) -> Self:
        """The moments of both sets together (Chan, Golub & LeVeque 1983)."""
        count, gap = self.count + other.count, other.mean - self.mean
        between = np.outer(gap, gap) * (self.count * other.count / count)
        mean = self.mean + gap * (other.count / count)
        return type(self)(count, mean, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """Unbiased.

        Raises:
          ValueError: of a single row.
        """
        if self.count < 2:
            raise ValueError(f"a covariance needs at least two rows of features, got {self.count}")
        return self.scatter / (self.count - 1)


def frechet_distance(a: Moments, b: Moments) -> float:
    """Squared Wasserstein-2 distance of two Gaussians with these moments (Heusel et al. 2017, eq. 6).

    d^2 = |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^1/2), the last trace as the sum of the roots of the eigenvalues of
    C_a^1/2 C_b C_a^1/2, which is symmetric: no root of a product of matrices, which a singular covariance breaks.
    """
    c_a, c_b = a.covariance, b.covariance
    values, vectors = np.linalg.eigh(c_a)
    root = (vectors * _roots(values)) @ vectors.T
    cross = _roots(np.linalg.eigvalsh(root @ c_b @ root)).sum()
    return float(np.sum((a.mean - b.mean) ** 2) + np.trace(c_a) + np.trace(c_b) - 2 * cross)


def _roots(eigenvalues: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
    """Square roots, 0 of those within rounding of zero: the root of 1e-16 would be an error of 1e-8."""
    rounding = len(eigenvalues) * np.finfo(np.float64).eps * eigenvalues.max()
    return np.sqrt(np.where(eigenvalues > rounding, eigenvalues, 0))


# The kernel distance ----------------------------------------------------------------------------------------


class KernelDistance(NamedTuple):
    """KID: the mean over subsets, and the standard deviation of a single subset, as the usual tools report it."""

    mean: float
    deviation: float


def polynomial_mmd(x: Float[np.ndarray, "N d"], y: Float[np.ndarray, "M d"]) -> float:
    """Unbiased squared MMD with k(x, y) = (x.y / d + 1)^3 (Binkowski et al. 2018, eq. 4); may be negative.

    Raises:
      ValueError: a set has fewer than two rows.
      UserError: a feature is not finite.
    """
    x, y = _checked(x), _checked(y)
    n, m = len(x), len(y)
    if min(n, m) < 2:
        raise ValueError(f"the unbiased MMD needs two rows of each set, got {n} and {m}")
    xx, yy, xy = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def _kernel(x: np.ndarray, y: np.ndarray) -> Float[np.ndarray, "N M"]:
    return (x @ y.T / x.shape[1] + 1) ** 3


def kernel_distance(
    x: Float[np.ndarray, "N d"],
    y: Float[np.ndarray, "M d"],
    subsets: int = 100,
    size: int = 1000,
    seed: int = 0,
) -> KernelDistance:
    """KID: `polynomial_mmd` of random subsets of both sets, drawn without replacement.

    Args:
      x: features of one set.
      y: of the other.
      subsets: how many.
      size: rows of a subset.
      seed: of the draws.

    Raises:
      ValueError: a set is smaller than a subset.
    """
    if min(len(x), len(y)) < size:
        raise ValueError(f"subsets of {size} rows of sets of {len(x)} and {len(y)}")
    draw = np.random.default_rng(seed)

    def subset(features: np.ndarray) -> np.ndarray:
        return features[draw.choice(len(features), size, replace=False)]

    values = [polynomial_mmd(subset(x), subset(y)) for _ in range(subsets)]
    return KernelDistance(float(np.mean(values)), float(np.std(values)))


# Precision and recall ---------------------------------------------------------------------------------------


class Coverage(NamedTuple):
    """Of fakes in the real set, and of real images in the set of fakes (see `precision_recall`)."""

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(
    real: Float[np.ndarray, "N d"], fake: Float[np.ndarray, "M d"], neighbours: int = 5
) -> Coverage:
    """Shares of a set that the balls around the other one's rows hold.

    A ball reaches to its row's k-th nearest other row of the same set, not including it. Precision is the share of
    fakes in any ball of a real row, recall the share of real rows in any ball of a fake (Kynkaanniemi et al. 2019, with
    k = 3); density is the number of real balls a fake is in, over k, and coverage the share of real rows with a fake in
    their own ball (Naeem et al. 2020, with k = 5).

    Raises:
      ValueError: a set has no k-th neighbour.
      UserError: a feature is not finite.
    """
    real, fake = _checked(real), _checked(fake)
    if min(len(real), len(fake)) <= neighbours:
        raise ValueError(f"sets of {len(real)} and {len(fake)} rows have no neighbour number {neighbours}")
    real_radius, fake_radius = _radii(real, neighbours), _radii(fake, neighbours)
    in_real_balls = np.zeros(len(fake), np.int64)
    recalled, covered = [], []
    for rows in _blocks(len(real)):
        distance = cdist(real[rows], fake)
        inside = distance < real_radius[rows, None]
        in_real_balls += inside.sum(axis=0)
        covered.append(inside.any(axis=1))
        recalled.append((distance < fake_radius).any(axis=1))
    return Coverage(
        precision=float((in_real_balls > 0).mean()),
        recall=float(np.concatenate(recalled).mean()),
        density=float(in_real_balls.mean() / neighbours),
        coverage=float(np.concatenate(covered).mean()),
    )


def _radii(features: np.ndarray, neighbours: int) -> Float[np.ndarray, " N"]:
    """Distance of each row to its k-th nearest other row."""
    # The nearest of all is the row itself, at distance 0.
    each = (np.partition(cdist(features[rows], features), neighbours) for rows in _blocks(len(features)))
    return np.concatenate([block[:, neighbours] for block in each])


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, ROWS_AT_ONCE):
        yield slice(start, start + ROWS_AT_ONCE)


def _checked(features: np.ndarray) -> Float[np.ndarray, "N d"]:
    """In float64."""
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or not len(features):
        raise ValueError(f"expected features [N, d], got {features.shape}")
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1)).tolist()
    if bad:
        raise UserError("features", f"rows {bad[:5]}", "not finite", "look at the images of those rows")
    return features
