"""How well a classifier does when some classes had no training images: per-class accuracy and its harmonic mean.

The measures of Xian et al. (2018, "Zero-shot learning: the good, the bad and the ugly"). With predictions over
all classes, S and U are `per_class_accuracy` over the seen and the unseen classes, H = harmonic_mean(S, U).
"""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int


def per_class_accuracy(
    predictions: Int[ArrayLike, " N"],
    labels: Int[ArrayLike, " N"],
    classes: Int[ArrayLike, " K"],
    where: Bool[ArrayLike, " N"] | None = None,
) -> Float[Array, ""]:
    """Returns the mean over `classes` of the fraction of a class's examples that is predicted as that class.

    Args:
      predictions: class ids.
      labels: the true class ids; examples of other classes than `classes` don't count.
      classes: the class ids to average over; only their number has to be static.
      where: which examples count; all, if not given.

    Returns:
      Float32 in [0, 1]; NaN where a class has no example that counts, for its fraction is not defined.
    """
    of_class = _members(labels, classes, where)
    right = of_class & (jnp.asarray(predictions) == labels)[:, None]
    return (right.sum(axis=0) / of_class.sum(axis=0)).mean()


def harmonic_mean(seen: Float[ArrayLike, "..."], unseen: Float[ArrayLike, "..."]) -> Float[Array, "..."]:
    """Returns H = 2 S U / (S + U) elementwise, and 0 where both accuracies are 0."""
    seen, unseen = jnp.asarray(seen), jnp.asarray(unseen)
    total = seen + unseen
    return jnp.where(total == 0, 0, 2 * seen * unseen / jnp.where(total == 0, 1, total))


def confusion_matrix(
    predictions: Int[ArrayLike, " N"],
    labels: Int[ArrayLike, " N"],
    classes: Int[ArrayLike, " K"],
    where: Bool[ArrayLike, " N"] | None = None,
) -> Float[Array, "K K"]:
    """Returns the fraction of the examples of class `classes[i]` that is predicted as class `classes[j]`.

    A row sums to 1, less what is predicted as a class outside `classes`; the row of a class without an example
    is 0. The mean of the diagonal is `per_class_accuracy` where every class has an example.
    """
    of_class = _members(labels, classes, where).astype(jnp.float32)
    as_class = _members(predictions, classes).astype(jnp.float32)
    return of_class.T @ as_class / jnp.maximum(of_class.sum(axis=0), 1)[:, None]


def _members(
    labels: Int[ArrayLike, " N"], classes: Int[ArrayLike, " K"], where: Bool[ArrayLike, " N"] | None = None
) -> Bool[Array, "N K"]:
    """Whether example n counts and is of class k."""
    of_class = jnp.asarray(labels)[:, None] == jnp.asarray(classes)[None, :]
    return of_class if where is None else of_class & jnp.asarray(where)[:, None]
