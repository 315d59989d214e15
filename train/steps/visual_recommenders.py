"""One update of BPR-MF, VBPR or DeepStyle on triples: a user, an item of the user's, and one that is not.

Bayesian personalised ranking (Rendle et al., UAI 2009) minimises over triples (u, i, j)
  softplus(x_uj - x_ui) + lambda/2 ||theta||^2
with theta the parameters that the triple touches, each group with a lambda of its own. The papers step on one triple
at a time; here a batch of them takes the mean or the sum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from jaxmodels.visual_recommenders import BPRMF, VBPR, Catalogue, DeepStyle, ItemVectors, PairwiseRecommender
from objectives.ranking import bpr_pairs
from train.bounds import AtLeast, Positive
from train.devices import across_devices, on_any_mesh
from train.errors import UserError
from train.steps.uniform_negatives import Records, draw_negatives
from train.update import Metrics, State, fresh, noise_key, single_loss

Kind = Literal["bpr-mf", "vbpr", "deepstyle"]


@dataclass(frozen=True, kw_only=True)
class VisualConfig:
    """Settings of one of the three models; penalties are lambda of lambda/2 times a squared norm, per triple."""

    kind: Kind = "deepstyle"
    """The model."""
    factors: Annotated[int, AtLeast(1)] = 20
    """Dimensions of a user's vector, the same in all models."""
    visual_factors: Annotated[int, AtLeast(1)] = 10
    """VBPR: how many of those are for the image; the others are free factors."""
    l2_factors: Annotated[float, AtLeast(0)] = 0.01
    """Penalty of the rows of users, items and categories."""
    l2_biases: Annotated[float, AtLeast(0)] = 0.001
    """Penalty of the items' biases."""
    l2_visual: Annotated[float, AtLeast(0)] = 0.0
    """Penalty of what multiplies the features: E and beta'."""
    optimiser: Literal["adam", "sgd"] = "adam"
    """The papers use SGD; Adam needs no schedule."""
    learning_rate: Annotated[float, Positive()] = 0.01
    """Learning rate."""
    reduction: Literal["mean", "sum"] = "mean"
    """How the triples of a batch are combined. With SGD, the sum moves as far as a step on each triple alone would."""


class Sizes(NamedTuple):
    """The sizes of the tables of parameters."""

    users: int
    items: int
    features: int
    categories: int


class Batch(NamedTuple):
    """Users with an item of theirs each, and what the whole data say of items and of users."""

    user: Int[Array, " b"]
    positive: Int[Array, " b"]
    catalogue: Catalogue
    seen: Records


RecommenderState = State
"""params: as the model names them."""


def check(config: VisualConfig, flag: str = "--model") -> None:
    """Raises UserError for settings that don't fit together; `flag` is what they begin with."""
    if config.kind == "vbpr" and config.visual_factors >= config.factors:
        problem = f"leaves no free factors of {config.factors}"
        raise UserError(f"{flag}.visual-factors", config.visual_factors, problem, "give fewer")


def model(config: VisualConfig, sizes: Sizes) -> PairwiseRecommender:
    """The module."""
    match config.kind:
        case "bpr-mf":
            return BPRMF(sizes.users, sizes.items, config.factors)
        case "vbpr":
            free = config.factors - config.visual_factors
            return VBPR(sizes.users, sizes.items, free, sizes.features, config.visual_factors)
        case "deepstyle":
            return DeepStyle(sizes.users, sizes.items, config.factors, sizes.features, sizes.categories)
    raise ValueError(f"kind {config.kind!r} is unknown: choose bpr-mf, vbpr or deepstyle")


def init_state(key: jax.Array, config: VisualConfig, sizes: Sizes) -> RecommenderState:
    """A fresh state. The key initialises the parameters and seeds every later update."""
    run_key, init_key = jax.random.split(key)
    one = jnp.zeros((1,), jnp.int32)
    nothing = Catalogue(jnp.zeros((sizes.items, sizes.features)), jnp.full((sizes.items, 1), -1, jnp.int32))
    params = model(config, sizes).init(init_key, one, one, nothing)["params"]
    return fresh(run_key, params, optimiser(config).init(params))


def optimiser(config: VisualConfig) -> optax.GradientTransformation:
    """One optimiser for all parameters."""
    return {"adam": optax.adam, "sgd": optax.sgd}[config.optimiser](config.learning_rate)


@on_any_mesh
def train_step(
    state: RecommenderState, batch: Batch, config: VisualConfig, sizes: Sizes
) -> tuple[RecommenderState, Metrics]:
    """One update; pure, its negatives are a function of (key, step)."""
    negative = across_devices(draw_negatives(noise_key(state), batch.user, batch.seen, sizes.items))
    return single_loss(loss, optimiser(config))(state, batch, negative, config, sizes)


def loss(
    params: PyTree, batch: Batch, negative: Int[Array, " b"], config: VisualConfig, sizes: Sizes
) -> tuple[Float[Array, ""], Metrics]:
    """BPR and penalty, reduced over triples; `auc` is the share of triples in the right order."""
    x_i, x_j = (
        score(params, batch.user, item, batch.catalogue, config, sizes) for item in (batch.positive, negative)
    )
    reduce = {"mean": jnp.mean, "sum": jnp.sum}[config.reduction]
    bpr = reduce(bpr_pairs(x_i, x_j))
    decay = reduce(penalty(params, batch, negative, config))
    return bpr + decay, {"loss": bpr + decay, "bpr": bpr, "penalty": decay, "auc": jnp.mean(x_i > x_j)}


def penalty(
    params: Mapping[str, Array], batch: Batch, negative: Int[Array, " b"], config: VisualConfig
) -> Float[Array, " b"]:
    """lambda/2 ||theta||^2 of each triple's parameters: rows of its user, items and categories; E and beta' whole."""
    users, items = batch.user[:, None], jnp.stack([batch.positive, negative], axis=1)
    categories = batch.catalogue.categories[items].reshape(len(items), -1)
    total = jnp.zeros(len(items))
    for name, table in params.items():
        match name:
            case "gamma_u" | "theta_u" | "p_u":
                total += config.l2_factors / 2 * _square(table[users])
            case "gamma_i" | "q_i":
                total += config.l2_factors / 2 * _square(table[items])
            case "l_c":
                known = (categories >= 0)[..., None]
                total += config.l2_factors / 2 * _square(jnp.where(known, table[categories], 0))
            case "beta_i":
                total += config.l2_biases / 2 * _square(table[items])
            case "E" | "beta_f":
                total += config.l2_visual / 2 * jnp.sum(table**2)
    return total


def _square(rows: Float[Array, "b ..."]) -> Float[Array, " b"]:
    return jnp.sum(rows.reshape(len(rows), -1) ** 2, axis=1)


def score(
    params: PyTree,
    user: Int[Array, " n"],
    item: Int[Array, " n"],
    catalogue: Catalogue,
    config: VisualConfig,
    sizes: Sizes,
) -> Float[Array, " n"]:
    """The score of each pair."""
    out: Any = model(config, sizes).apply({"params": params}, user, item, catalogue)
    return out


def scores(
    params: PyTree, user: Int[Array, " n"], catalogue: Catalogue, config: VisualConfig, sizes: Sizes
) -> Float[Array, "n items"]:
    """The scores of every item for each user."""
    module = model(config, sizes)
    out: Any = module.apply({"params": params}, user, catalogue, method=module.scores)
    return out


def all_items(params: PyTree, catalogue: Catalogue, config: VisualConfig, sizes: Sizes) -> ItemVectors:
    """What the scores take of every item; a user is a vector beside them."""
    module = model(config, sizes)
    out: Any = module.apply({"params": params}, catalogue, method=module.all_items)
    return out


def fold_in(
    items: ItemVectors, history: Int[Array, "b n"], config: VisualConfig, updates: int = 300
) -> Float[Array, "b d"]:
    """The vectors of new users, the items held fixed.

    What training minimises in expectation over a user's triples is convex in the user's vector,
      mean over own i and other j of softplus(x_j - x_i) + lambda/2 ||w||^2,
    so Adam goes down on all pairs from w = 0. A user without a history stays there, and is judged by the biases.

    Args:
      items: of a trained model, all of them.
      history: each user's items; numbers outside [0, items) are padding.
      config: whose penalty of factors counts.
      updates: of Adam with learning rate 0.1, which decays to 0 along a cosine.
    """
    v, b = items
    rule = optax.adam(optax.cosine_decay_schedule(0.1, updates))

    def one(own: Int[Array, " n"]) -> Float[Array, " d"]:
        real = (own >= 0) & (own < len(b))
        other = jnp.ones(len(b), bool).at[jnp.where(real, own, len(b))].set(False, mode="drop")
        pairs = real[:, None] & other[None]

        def objective(w: Float[Array, " d"]) -> Float[Array, ""]:
            x = v @ w + b
            rows = jax.vmap(lambda x_i: bpr_pairs(jnp.broadcast_to(x_i, x.shape), x))(x[own])
            return jnp.mean(rows, where=pairs) + config.l2_factors / 2 * jnp.sum(w**2)

        def update(_: Int[Array, ""], carry: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
            w, state = carry
            change, state = rule.update(jax.grad(objective)(w), state)
            return optax.apply_updates(w, change), state

        start = jnp.zeros(v.shape[1])
        w, _ = jax.lax.fori_loop(0, updates, update, (start, rule.init(start)))
        return jnp.where(real.any(), w, start)

    return jax.lax.map(one, history)
