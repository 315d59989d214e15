"""What DeepStyle's style vectors hold: which items are near each other, and what taking the category out does."""

from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from experiments.recommendation.fashion_measures import TrainedStage, sizes
from jaxmodels.visual_recommenders import Catalogue
from train import seeds
from train.data.fashion import FashionData
from train.data.fashion_world import hue_circles
from train.data.source import ProceduralShapes3D
from train.report.figures import class_scatter, image_grid
from train.report.report import Picture, Section
from train.report.tables import Table
from train.steps import visual_recommenders as visual

NEIGHBOURS, SHOWN_QUERIES, SHOWN_NEIGHBOURS = 10, 5, 6
HUES = ("floor", "wall", "object")


class Style(NamedTuple):
    """Of every item: the features of its image, their projection E f, and the style E f - l_c."""

    features: Float[np.ndarray, "items f"]
    projection: Float[np.ndarray, "items d"]
    style: Float[np.ndarray, "items d"]

    @classmethod
    def of(cls, data: FashionData, catalogue: Catalogue, trained: TrainedStage) -> "Style":
        """Of the first seed."""
        params = seeds.unstack(trained.state.params, 0)
        module = visual.model(trained.settings, sizes(data))
        every = jnp.arange(data.items)
        style: Any = module.apply({"params": params}, every, catalogue, method="style")
        return cls(data.features, np.asarray(catalogue.features @ params["E"]), np.asarray(style))

    def spaces(self) -> dict[str, Float[np.ndarray, "items _"]]:
        """By name."""
        return {"features": self.features, "projection": self.projection, "style": self.style}


def neighbours(vectors: Float[np.ndarray, "items d"], count: int) -> Int[np.ndarray, "items count"]:
    """The nearest other items by the cosine of centred vectors, nearest first."""
    centred = vectors - vectors.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    return np.argsort(-cosine, axis=1, kind="stable")[:, :count]


def agreements(data: FashionData, style: Style) -> dict[str, dict[str, float]]:
    """By space, the share of the ten nearest items that agree with the item in category, or in a hue."""
    traits = {"category": data.categories[:, 0]}
    if data.scene is not None:
        traits |= {f"{what} hue": data.scene[:, i] for i, what in enumerate(HUES)}
    out = {}
    for name, vectors in style.spaces().items():
        nearest = neighbours(vectors, min(NEIGHBOURS, data.items - 1))
        out[name] = {trait: float((ids[nearest] == ids[:, None]).mean()) for trait, ids in traits.items()}
    shares = {trait: np.unique(ids, return_counts=True)[1] / len(ids) for trait, ids in traits.items()}
    return {**out, "chance": {trait: float((share**2).sum()) for trait, share in shares.items()}}


def style_section(folder: Path, data: FashionData, style: Style) -> Section:
    """What taking the category out of the image does."""
    found = agreements(data, style)
    traits = list(found["chance"])
    rows = [[space, *(100 * found[space][trait] for trait in traits)] for space in found]
    caption = (
        f"Percent of the {NEIGHBOURS} nearest items (cosine) that are alike; projection E f, style E f - l"
    )
    # The plane of styles of one factor has no second axis.
    plane = style.style.shape[1] > 1
    pictures = [_by_category(folder / "categories.png", data, style)] if plane else []
    if data.scene is not None:
        pictures = [
            _nearest(folder / "neighbours.png", data, style),
            *pictures,
            _by_hue(folder / "hues.png", data.scene, style),
        ]
    text = [
        "The loss asks the table l to help to rank, not to hide the category. Whether a style says less of the "
        "category than the image does, the table tells."
    ]
    return Section("Style", text, tables=[Table(caption, ["space", *traits], rows)], pictures=pictures)


def _nearest(path: Path, data: FashionData, style: Style) -> Picture:
    """Items with their neighbours in the space of features and in that of styles."""
    assert data.scene is not None
    kinds, first = np.unique(data.categories[:, 0], return_index=True)
    queries = first[np.linspace(0, len(kinds) - 1, min(SHOWN_QUERIES, len(kinds))).astype(int)]
    rows, labels = [], []
    for name, vectors in (("features", style.features), ("style", style.style)):
        nearest = neighbours(vectors, SHOWN_NEIGHBOURS)
        rows.append(np.concatenate([queries[:, None], nearest[queries]], axis=1))
        labels.append([f"{data.category_names[data.categories[i, 0]]}: {name}" for i in queries])
    ids = np.stack(rows, axis=1).reshape(2 * len(queries), -1)
    names = [label for pair in zip(*labels, strict=True) for label in pair]
    source = ProceduralShapes3D()
    images = source[source.index_with_factors(data.scene[ids.ravel()])]["image"]
    columns = ["item", *(f"nearest {i + 1}" for i in range(SHOWN_NEIGHBOURS))]
    picture = image_grid(path, images.reshape(*ids.shape, *images.shape[1:]), names, columns)
    return Picture(picture, "Items and those nearest to them by the features of the image, and by style.")


def _by_category(path: Path, data: FashionData, style: Style) -> Picture:
    projection, residue = (a - a.mean(axis=0) for a in (style.projection, style.style))
    category = np.maximum(data.categories[:, 0], 0)
    means = np.stack([residue[category == kind].mean(axis=0) for kind in np.unique(category)])
    plane = np.linalg.svd(means)[2][:2].T
    shown = {
        "E f: the image": [(projection @ plane, category, "o")],
        "E f - l: the style": [(residue @ plane, category, "o")],
    }
    caption = (
        "Every item in the plane in which the categories' mean styles differ most; the colour is its (first) category. "
        "From left to right, every category moves by its own l."
    )
    return Picture(class_scatter(path, shown, ("first component", "second component")), caption)


def _by_hue(path: Path, scene: Int[np.ndarray, "items 6"], style: Style) -> Picture:
    """The circle of each hue, as a linear map reads it from the styles."""
    design = np.concatenate([style.style, np.ones((len(scene), 1))], axis=1)
    read = design @ np.linalg.lstsq(design, hue_circles(scene), rcond=None)[0]
    shown = {f"{what} hue": [(read[:, [i, 3 + i]], scene[:, i], "o")] for i, what in enumerate(HUES)}
    caption = (
        "Cosine and sine of each hue, as least squares read them from the styles of the same items; the colour is the "
        "hue. A clear circle is a hue that the style keeps."
    )
    return Picture(class_scatter(path, shown, ("cosine, read", "sine, read")), caption)
