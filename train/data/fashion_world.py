"""Simulated users of rendered items: `shapes3d-procedural-fashion`, nothing to download.

The items are scenes of the 3D Shapes world. The category of an item is its object's shape and whether it is small or
large; its style are the hues of floor, wall and object, as points on the circle of hues; its turn and its exact size
mean nothing. Features are those of the frozen map of `shapes3d_classes`. User u chooses
  a category c by the user's own demand, Dirichlet(0.3), and
  in it an item with log odds 2.5 <t_u, style_i> / sqrt(3) + a_i,
the taste t_u and the appeal a_i of an item standard normal, the appeal less 2 for the third of the items that are new.
Like photographs of clothes, the items are many and the records few, 6 to 20 of a user: the numbers were laid out so
that a quarter of the items or more are cold.
That within a category taste decides is DeepStyle's own assumption, so a lead of it here is built in by construction:
these data tell whether an implementation works, not which model is better on photographs.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from train.data import shapes3d
from train.data.fashion import FashionData, scaled, split
from train.data.shapes3d_classes import SHAPES, feature_map
from train.data.source import ProceduralShapes3D
from train.data.split import split_indices

NAME = "shapes3d-procedural-fashion"
LARGE = 4
"""Sizes from this step on are large."""


def fashion_world(items: int = 2000, users: int = 1500, seed: int = 0) -> FashionData:
    """The embedded data; a function of its arguments alone.

    Args:
      items: rendered, all different.
      users: simulated, with 6 to 20 records each.
      seed: of everything.
    """
    rows = split_indices(shapes3d.SIZE, (1.0, 0.0, 0.0), seed).train[:items]
    rendered = ProceduralShapes3D()[rows]
    scene = rendered["factors"]
    categories = 2 * scene[:, 4] + (scene[:, 3] >= LARGE)
    user, item = _choices(np.random.RandomState(seed), hue_circles(scene), categories, users)
    train, validation, test, dropped = split(user, item, items, None, seed)
    return FashionData(
        name=NAME,
        features=scaled(np.asarray(jax.jit(feature_map)(jnp.asarray(rendered["image"])))),
        categories=categories[:, None].astype(np.int32),
        category_names=tuple(f"{size} {shape}" for shape in SHAPES for size in ("small", "large")),
        train=train,
        validation=validation,
        test=test,
        scene=scene,
        dropped=dropped,
    )


def hue_circles(scene: Int[np.ndarray, "items 6"]) -> Float[np.ndarray, "items 6"]:
    """The style of rendered items: cosines, then sines of the hues of floor, wall and object."""
    turn = 2 * np.pi * scene[:, :3] / 10
    return np.concatenate([np.cos(turn), np.sin(turn)], axis=1)


def _choices(
    random: np.random.RandomState,
    style: Float[np.ndarray, "items s"],
    categories: Int[np.ndarray, " items"],
    users: int,
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Users' records: for each user that many of the highest log probabilities with Gumbel noise, all different."""
    items, kinds = len(style), int(categories.max()) + 1
    taste = random.standard_normal((users, style.shape[1]))
    demand = random.dirichlet(np.full(kinds, 0.3), users)
    appeal = random.standard_normal(items) - 2 * (random.random_sample(items) < 1 / 3)
    log_odds = 2.5 / np.sqrt(3) * taste @ style.T + appeal
    for kind in range(kinds):
        own = categories == kind
        log_odds[:, own] -= np.logaddexp.reduce(log_odds[:, own], axis=1, keepdims=True)
    log_p = log_odds + np.log(demand + 1e-9)[:, categories]
    counts = random.randint(6, 21, users)
    order = np.argsort(-(log_p + random.gumbel(size=log_p.shape)), axis=1)
    return np.repeat(np.arange(users), counts), order[np.arange(items) < counts[:, None]]
