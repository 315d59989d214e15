"""What a zero-shot result is worth: the accuracy of a linear model without, and of one with, unseen images.

Both take a benchmark's arrays as the model under test gets them; row vectors are int32 rows of `features`.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge

from train.errors import UserError
from train.metrics.zero_shot import harmonic_mean, per_class_accuracy

Rule = Literal["euclidean", "cosine"]
SHRINKAGE = 0.1


class Accuracies(NamedTuple):
    """Per-class accuracies in [0, 1].

    Attributes:
      seen: S, of the seen test images, told apart from all classes.
      unseen: U, of the unseen test images, told apart from all classes.
      harmonic: H of the two.
      zero_shot: of the unseen test images, told apart from the unseen classes alone.
    """

    seen: float
    unseen: float
    harmonic: float
    zero_shot: float


def chance(seen: int, unseen: int) -> Accuracies:
    """What drawing one of the classes of each setting reaches, of that many seen and unseen ones."""
    every = 1 / (seen + unseen)
    return Accuracies(every, every, every, 1 / unseen)


def constant(seen: int, unseen: int) -> Accuracies:
    """What one class for all images reaches, a seen one where there is a choice."""
    return Accuracies(1 / seen, 0.0, 0.0, 1 / unseen)


def ridge_to_attributes(
    features: Float[np.ndarray, "N D"],
    labels: Int[np.ndarray, " N"],
    attributes: Float[np.ndarray, "C A"],
    trainval: Int[np.ndarray, " T"],
    test_seen: Int[np.ndarray, " S"],
    test_unseen: Int[np.ndarray, " U"],
    *,
    alpha: float = 1.0,
    rule: Rule = "euclidean",
) -> Accuracies:
    """Returns what ridge regression from features to attributes reaches; see `attribute_scores`."""
    scores = attribute_scores(features, labels, attributes, trainval, alpha=alpha, rule=rule)
    return _accuracies(scores, labels, np.unique(labels[trainval]), test_seen, test_unseen)


def attribute_scores(
    features: Float[np.ndarray, "N D"],
    labels: Int[np.ndarray, " N"],
    attributes: Float[np.ndarray, "C A"],
    trainval: Int[np.ndarray, " T"],
    *,
    alpha: float = 1.0,
    rule: Rule = "euclidean",
) -> Float[np.ndarray, "N C"]:
    """Returns how near each image's predicted attributes are to each class's: the larger, the nearer.

    Ridge regression with an intercept, fitted to the attributes of the training rows' classes. By either rule
    attributes are centred on the seen classes. `euclidean` divides each by its standard deviation over them (a
    constant one by 1) and takes the negative squared distance; `cosine` takes the cosine. Neither rule nor
    alpha is tuned.

    Args:
      features: of all images; scaled, as alpha is in their unit.
      labels: class of each.
      attributes: one row per class.
      trainval: the rows to fit to.
      alpha: weight of the squared norm beside the sum of squared errors.
      rule: what near means.
    """
    seen = attributes[np.unique(labels[trainval])]
    spread = seen.std(axis=0) if rule == "euclidean" else np.ones(attributes.shape[1], np.float32)
    wanted = (attributes - seen.mean(axis=0)) / np.where(spread == 0, 1, spread)
    # In float64: with 2,048 features the normal equations are too ill-conditioned for float32.
    fitted = Ridge(alpha=alpha).fit(features[trainval].astype(np.float64), wanted[labels[trainval]])
    found = fitted.predict(features)
    lengths = (wanted**2).sum(axis=1)
    if rule == "euclidean":
        return 2 * found @ wanted.T - lengths - (found**2).sum(axis=1, keepdims=True)
    norms = np.sqrt(lengths) * np.linalg.norm(found, axis=1, keepdims=True)
    return found @ wanted.T / np.where(norms == 0, 1, norms)


def supervised_reference(
    features: Float[np.ndarray, "N D"],
    labels: Int[np.ndarray, " N"],
    trainval: Int[np.ndarray, " T"],
    test_seen: Int[np.ndarray, " S"],
    test_unseen: Int[np.ndarray, " U"],
    *,
    seed: int = 0,
) -> Accuracies:
    """Returns what a linear discriminant reaches that trains on half of the unseen test images as well.

    A reference for how far the classes can be told apart from these features, not a strict bound. Its
    covariance is shrunk by 0.1 towards a multiple of the identity, priors are the training frequencies, and
    U is of the other, random half.

    Raises:
      UserError: a random half lacks one of the unseen classes, or there are no more images than classes.
    """
    shuffled = np.random.RandomState(seed).permutation(test_unseen)
    trained, tested = np.split(shuffled, [len(shuffled) // 2])
    for half in (trained, tested):
        lost = np.setdiff1d(labels[test_unseen], labels[half])
        if lost.size:
            problem = "has too few test images to be in both halves of the supervised reference"
            raise UserError("class", int(lost[0]), problem, "give a larger set")
    rows = np.concatenate([trainval, trained])
    if len(rows) <= len(np.unique(labels[rows])):
        problem = "are too few images for the supervised reference"
        raise UserError("training rows", len(rows), problem, "give a larger set")
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE).fit(features[rows], labels[rows])
    scores = np.full((len(features), int(labels.max()) + 1), -np.inf)
    for block in (test_seen, tested):
        values = model.decision_function(features[block])
        # Of two classes scikit-learn gives the second one's score alone.
        scores[np.ix_(block, model.classes_)] = values if values.ndim == 2 else np.stack([-values, values], 1)
    return _accuracies(scores, labels, np.unique(labels[trainval]), test_seen, tested)


def _accuracies(
    scores: Float[np.ndarray, "N C"],
    labels: Int[np.ndarray, " N"],
    seen: Int[np.ndarray, " K"],
    test_seen: Int[np.ndarray, " S"],
    test_unseen: Int[np.ndarray, " U"],
) -> Accuracies:
    """The accuracies of predicting the class with the highest score."""
    unseen = np.unique(labels[test_unseen])
    everything = np.union1d(seen, unseen)

    def accuracy(rows: np.ndarray, told_apart: np.ndarray, averaged: np.ndarray) -> float:
        predictions = told_apart[scores[np.ix_(rows, told_apart)].argmax(axis=1)]
        return float(per_class_accuracy(predictions, labels[rows], averaged))

    s, u = accuracy(test_seen, everything, seen), accuracy(test_unseen, everything, unseen)
    return Accuracies(s, u, float(harmonic_mean(s, u)), accuracy(test_unseen, unseen, unseen))
