"""How well a map of predicted classes agrees with the true one: scores of one confusion matrix over a whole set.

Published accuracies of semantic synthesis differ by ten points with the treatment of unknown pixels, for which there
is no true class; `unknown` names the three that are in use. State it with every number.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

Unknown = Literal["excluded", "errors", "class"]
"""Pixels without a true class are `excluded` from every count; or they count as `errors`, in the total of the pixel
accuracy and as false positives of whatever was predicted there; or they are a `class` more, which also enters the means
and is right only where it was predicted as such."""


def confusion_matrix(
    truth: Int[np.ndarray, "*pixels"], predicted: Int[np.ndarray, "*pixels"], classes: int
) -> Int[np.ndarray, "K+1 K+1"]:
    """Counts the pixels of true class i (row) and predicted class j (column); matrices of parts of a set add up.

    Args:
      truth: true classes; everything outside [0, classes), such as `classes` itself or 255, is unknown.
      predicted: predicted classes; unknown ones are as in `truth`.
      classes: K.

    Returns:
      int64, with unknown as the last row and the last column.

    Raises:
      ValueError: the shapes differ, or the arrays are not integers.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape:
        raise ValueError(
            f"true classes {truth.shape} and predicted classes {predicted.shape} differ in shape"
        )
    rows, columns = (_known(labels, classes).ravel() for labels in (truth, predicted))
    counts = np.bincount((classes + 1) * rows + columns, minlength=(classes + 1) ** 2)
    return counts.reshape(classes + 1, classes + 1)


def _known(labels: np.ndarray, classes: int) -> Int[np.ndarray, "*pixels"]:
    """With `classes` for everything unknown."""
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"classes must be integers, not {labels.dtype}")
    return np.where((labels >= 0) & (labels < classes), labels, classes).astype(np.int64)


@dataclass(frozen=True)
class SegmentationScores:
    """Shares in [0, 1]; the means are over the classes that occur in the truth, NaN where none does.

    Attributes:
      iou: n_ii / (sum_j n_ij + sum_j n_ji - n_ii) per class, NaN for a class that the truth lacks.
      class_accuracy: n_ii / sum_j n_ij per class, NaN for the same classes.
      mean_iou: the mean of `iou`.
      frequency_weighted_iou: `iou` weighted by the share of each class among the pixels.
      mean_class_accuracy: the mean of `class_accuracy`.
      pixel_accuracy: sum_i n_ii / sum_ij n_ij.
    """

    iou: Float[np.ndarray, " K"]
    class_accuracy: Float[np.ndarray, " K"]
    mean_iou: float
    frequency_weighted_iou: float
    mean_class_accuracy: float
    pixel_accuracy: float


def segmentation_scores(
    confusion: Int[np.ndarray, "K+1 K+1"], unknown: Unknown = "excluded"
) -> SegmentationScores:
    """The scores of a matrix of `confusion_matrix` (Long et al., CVPR 2015, section 5).

    With `unknown="class"` the scores per class have the unknown one as the last of K + 1, otherwise they are K. A
    known pixel that was predicted to be unknown is an error in every case.
    """
    counts = np.array(confusion, np.float64)
    if unknown == "excluded":
        counts[-1] = 0
    correct = np.diagonal(counts).copy()
    if unknown != "class":
        correct[-1] = 0
    true, predicted, total = counts.sum(1), counts.sum(0), counts.sum()
    kept = slice(None) if unknown == "class" else slice(-1)
    present = true[kept] > 0
    iou = _share(correct, true + predicted - correct, present, kept)
    accuracy = _share(correct, true, present, kept)
    return SegmentationScores(
        iou=iou,
        class_accuracy=accuracy,
        mean_iou=_mean(iou[present]),
        frequency_weighted_iou=float(np.nansum(iou * true[kept]) / total) if total else np.nan,
        mean_class_accuracy=_mean(accuracy[present]),
        pixel_accuracy=float(correct.sum() / total) if total else np.nan,
    )


def _share(part: np.ndarray, whole: np.ndarray, present: np.ndarray, kept: slice) -> Float[np.ndarray, " K"]:
    out = np.full(len(present), np.nan)
    return np.divide(part[kept], whole[kept], out=out, where=present)


def _mean(values: Float[np.ndarray, " n"]) -> float:
    return float(values.mean()) if len(values) else np.nan


def constant_prediction(confusion: Int[np.ndarray, "K+1 K+1"]) -> Int[np.ndarray, "K+1 K+1"]:
    """The matrix of a prediction that is the most frequent class everywhere, on the same truth."""
    true = np.asarray(confusion).sum(1)
    out = np.zeros_like(confusion)
    out[:, np.argmax(true[:-1])] = true
    return out


def chance_prediction(confusion: Int[np.ndarray, "K+1 K+1"]) -> Float[np.ndarray, "K+1 K+1"]:
    """The expected matrix of classes that are drawn for each pixel by how often they occur, on the same truth."""
    true = np.asarray(confusion).sum(1).astype(np.float64)
    known = np.append(true[:-1], 0.0)
    return np.outer(true, known / max(known.sum(), 1.0))
