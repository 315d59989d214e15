"""Discrete mutual information between codes and factors, in nats: what MIG and modularity are computed from."""

import numpy as np
from jaxtyping import Float, Int

BINS = 20


def discretise(values: Float[np.ndarray, "N L"], bins: int = BINS) -> Int[np.ndarray, "N L"]:
    """Returns the number, from 1 to `bins`, of each value's bin among equal ones over its column's own range.

    The histogram discretiser of disentanglement_lib; a column's largest value is in bin `bins`.
    """
    edges = [np.histogram(column, bins)[1][:-1] for column in values.T]
    return np.stack([np.digitize(*pair) for pair in zip(values.T, edges, strict=True)], axis=1)


def contingency(a: Int[np.ndarray, " N"], b: Int[np.ndarray, " N"]) -> Float[np.ndarray, "A B"]:
    """Returns the joint frequencies (sum 1) of two labellings of the same rows."""
    (values, rows), (others, columns) = (np.unique(labels, return_inverse=True) for labels in (a, b))
    table = np.zeros((len(values), len(others)))
    np.add.at(table, (rows, columns), 1)
    return table / len(a)


def entropy(labels: Int[np.ndarray, " N"]) -> float:
    """Returns the plug-in entropy of a labelling, in nats."""
    p = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(p * np.log(p)).sum())


def mutual_information(a: Int[np.ndarray, " N"], b: Int[np.ndarray, " N"]) -> float:
    """Returns the plug-in mutual information of two labellings, in nats, at least 0."""
    joint = contingency(a, b)
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return max(0.0, float((joint[seen] * np.log(joint[seen] / independent[seen])).sum()))


def mutual_information_matrix(
    codes: Float[np.ndarray, "N L"], factors: Int[np.ndarray, "N F"], bins: int = BINS
) -> Float[np.ndarray, "L F"]:
    """Returns the mutual information, in nats, of each discretised code with each factor."""
    return np.array([[mutual_information(z, y) for y in factors.T] for z in discretise(codes, bins).T])
