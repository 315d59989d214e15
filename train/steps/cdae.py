"""One update of CDAE (Wu, DuBois, Zheng & Ester, WSDM 2016) on a batch of users.

The four variants of the paper by (`hidden`, `loss`): M1 (identity, square), M2 (identity, ce), M3 (sigmoid, square),
M4 (sigmoid, ce).
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from jaxmodels.cdae import CDAE, Corruption, HiddenActivation, corrupt
from objectives.pointwise import PointwiseLoss, pointwise
from train.bounds import AtLeast, Positive
from train.devices import across_devices, on_any_mesh
from train.errors import UserError
from train.item_shards import columns, top_k
from train.update import Metrics, State, fresh, noise_key, single_loss

L2Form = Literal["used-rows", "all"]
ACCUMULATOR = 1e-4
"""Initial sum of squared gradients of AdaGrad, as coded."""


@dataclass(frozen=True, kw_only=True)
class CDAEConfig:
    """Settings of the network, its loss and its optimiser; the defaults are variant M4."""

    latent_dim: Annotated[int, AtLeast(1)] = 50
    """Number of hidden units K."""
    hidden: HiddenActivation = "sigmoid"
    """Activation h of the hidden layer."""
    loss: PointwiseLoss = "ce"
    """Loss of an item's score. `square` is the official code's (x - s)^2, by which the published results were made;
    the paper writes half of that, `square-half`."""
    pairwise: bool = False
    """Loss of the difference between the scores of a click and of an item without one, as if it had been clicked."""
    tied: bool = False
    """Use the same weights into and out of the hidden layer."""
    user_node: bool = True
    """A vector of weights per user."""
    corruption: Corruption = "mask"
    """Dropping clicks, or adding normal noise to all items."""
    corruption_amount: Annotated[float, AtLeast(0)] = 0.5
    """Probability that a click is dropped, or standard deviation of the noise."""
    negatives: Annotated[int, AtLeast(0)] = 5
    """Items without a click that are sampled for each click, or for each user if the loss is pairwise; 0: all items."""
    l2: Annotated[float, AtLeast(0)] = 0.01
    """Weight lambda of half a sum of squares, by which the mean loss of a user is regularised."""
    l2_form: L2Form = field(default="used-rows", metadata={"before": "all"})
    """What is squared: the rows that a user's update uses, each as often as it does, as in the official code; or all
    parameters at every update, as the paper writes it. On sparse data the second needs a far smaller lambda: a row
    decays at every update, and few updates are on a user of its item."""
    optimiser: Literal["adam", "adagrad"] = "adam"
    """AdaGrad as in the official code, or Adam as for CDAE in the paper of Mult-VAE."""
    learning_rate: Annotated[float, Positive()] = 1e-3
    """Learning rate; the official code has 0.1 for AdaGrad on one user at a time."""
    adagrad_beta: Annotated[float, AtLeast(0)] = 1.0
    """What AdaGrad adds to the root of its accumulator; far from 0 it damps most steps, as in the published runs."""


CDAEState = State
"""params: inputs W, outputs W' unless tied, users V if there are nodes, bias b, item_bias b'."""


class Noise(NamedTuple):
    """Of one update: for the corruption, and uniform numbers that choose the sampled negatives."""

    input: Float[Array, "b items"]
    negatives: Float[Array, "b items"]


def check(config: CDAEConfig, flag: str = "--model") -> None:
    """Raises UserError for settings that don't fit together; `flag` is what they begin with."""
    if config.corruption == "mask" and config.corruption_amount > 1:
        problem = "must be at most 1, the probability of a click to be dropped"
        raise UserError(f"{flag}.corruption-amount", config.corruption_amount, problem, "give e.g. 0.5")
    if config.pairwise and not config.negatives:
        problem = "must be at least 1 with pairs"
        raise UserError(f"{flag}.negatives", 0, problem, f"give e.g. 5, or {flag}.no-pairwise")


def network(config: CDAEConfig, users: int, items: int) -> CDAE:
    """The network of these settings."""
    return CDAE(users, items, config.latent_dim, config.hidden, config.tied, config.user_node)


def init_state(key: jax.Array, config: CDAEConfig, users: int, items: int) -> CDAEState:
    """A fresh state. The key initialises the parameters and seeds every later update."""
    run_key, init_key = jax.random.split(key)
    x, user = jnp.zeros((1, items)), jnp.zeros(1, jnp.int32)
    params = network(config, users, items).init(init_key, x, user)["params"]
    return fresh(run_key, params, optimiser(config).init(params))


def optimiser(config: CDAEConfig) -> optax.GradientTransformation:
    """Adam, or the AdaGrad of the official code."""
    if config.optimiser == "adam":
        return optax.adam(config.learning_rate)
    return adagrad(config.learning_rate, config.adagrad_beta)


def adagrad(learning_rate: float, beta: float) -> optax.GradientTransformation:
    """a += g^2; theta -= lr g / (sqrt(a) + beta), with a = 1e-4 at first. optax.adagrad adds inside the root."""

    def init(params: PyTree) -> PyTree:
        return jax.tree.map(lambda p: jnp.full_like(p, ACCUMULATOR), params)

    def update(updates: PyTree, state: Any, params: PyTree = None) -> tuple[PyTree, PyTree]:
        state = jax.tree.map(lambda a, g: a + g**2, state, updates)
        return jax.tree.map(lambda a, g: -learning_rate * g / (jnp.sqrt(a) + beta), state, updates), state

    return optax.GradientTransformation(init, update)


@on_any_mesh
def train_step(
    state: CDAEState, batch: dict[str, Array], config: CDAEConfig, items: int | None = None
) -> tuple[CDAEState, Metrics]:
    """One update on {"x": [b, items], "user": [b]}; pure, its noise is a function of (key, step).

    `items` is the number of real items where rows are padded.
    """
    x, items = batch["x"], items or batch["x"].shape[1]
    # For the real items alone, so that a padded catalogue sees the same noise and stays without a gradient.
    noise = draw_noise(noise_key(state), (len(x), items), config)
    noise = Noise(*(jnp.pad(a, ((0, 0), (0, x.shape[1] - items))) for a in noise))
    return update(state, x, batch["user"], noise, config, items)


def draw_noise(key: jax.Array, shape: tuple[int, ...], config: CDAEConfig) -> Noise:
    """The noise of one update on rows of that shape."""
    input_key, negatives_key = jax.random.split(key)
    draw = jax.random.uniform if config.corruption == "mask" else jax.random.normal
    return Noise(draw(input_key, shape), jax.random.uniform(negatives_key, shape))


def update(
    state: CDAEState,
    x: Float[Array, "b items"],
    user: Int[Array, " b"],
    noise: Noise,
    config: CDAEConfig,
    items: int | None = None,
) -> tuple[CDAEState, Metrics]:
    """One update with given noise."""
    x, user, noise = across_devices((x, user, noise))
    return single_loss(loss, optimiser(config))(state, x, user, noise, config, items)


def loss(
    params: PyTree,
    x: Float[Array, "b items"],
    user: Int[Array, " b"],
    noise: Noise,
    config: CDAEConfig,
    items: int | None = None,
) -> tuple[Float[Array, ""], Metrics]:
    """The mean over users of sum_{i in O_u + S_u} l(x_ui, s_ui), + l2/2 times a sum of squares, and its terms."""
    corrupted = corrupt(x, noise.input, config.corruption, config.corruption_amount)
    scores = apply(params, corrupted, user, config)
    items = items or x.shape[1]
    if config.pairwise:
        used = pair_rows(x, noise.negatives, config, items)
        rows = pairwise_loss(scores, x, noise.negatives, config, items)
    else:
        used = weights(x, noise.negatives, config, items)
        rows = jnp.sum(used * pointwise(scores, x, config.loss), axis=1)
    match config.l2_form:
        case "used-rows":
            squares = squares_of_used_rows(params, corrupted, used, user, config)
        case "all":
            squares = sum((jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)), jnp.zeros(()))
    total = jnp.mean(rows) + config.l2 / 2 * squares
    return total, {"loss": total, "reconstruction": jnp.mean(rows), "l2": squares}


def squares_of_used_rows(
    params: PyTree,
    corrupted: Float[Array, "b items"],
    used: Float[Array, "b items"],
    user: Int[Array, " b"],
    config: CDAEConfig,
) -> Float[Array, ""]:
    """The mean over users of the squared norms of the rows that the user's update uses, each as often as it does.

    Those are b, V_u, W_j of every item left in the corrupted input, and W'_i and b'_i of every item in the loss, as
    often as it was drawn. If tied, an item of both is one row, and counts in the loss alone, as in the official code,
    which updates it once.

    Args:
      params: of the network.
      corrupted: its input; an item that is 0 there is not used.
      used: how often each item's output counts in the loss.
      user: of each row.
      config: which parameters there are.
    """
    out = jnp.mean(used, axis=0)
    outputs = jnp.sum(params["inputs" if config.tied else "outputs"] ** 2, axis=1)
    squares = jnp.sum(params["bias"] ** 2) + out @ (outputs + params["item_bias"] ** 2)
    kept = corrupted != 0
    if config.tied:
        kept &= used == 0
    squares += jnp.mean(kept, axis=0, dtype=out.dtype) @ jnp.sum(params["inputs"] ** 2, axis=1)
    if config.user_node:
        squares += jnp.mean(jnp.sum(params["users"][user] ** 2, axis=1))
    return squares


def weights(
    x: Float[Array, "b items"], uniform: Float[Array, "b items"], config: CDAEConfig, items: int
) -> Float[Array, "b items"]:
    """How often each item counts in the loss: clicks once, others as often as they were drawn, padding never.

    The official code draws `negatives` N_u items with replacement. Here each item is drawn by itself,
    floor(r + uniform) times with r = negatives N_u / (items - N_u): as often on average, and nothing has to be
    sorted or searched.
    """
    clicks = jnp.sum(x, axis=1, keepdims=True)
    rate = config.negatives * clicks / jnp.maximum(items - clicks, 1.0)
    drawn = jnp.floor(rate + uniform) if config.negatives else jnp.ones_like(x)
    real = jnp.arange(x.shape[1])[None] < items
    return jnp.where(x > 0, 1.0, jnp.where(real, drawn, 0.0))


def pairwise_loss(
    scores: Float[Array, "b items"],
    x: Float[Array, "b items"],
    uniform: Float[Array, "b items"],
    config: CDAEConfig,
    items: int,
) -> Float[Array, " b"]:
    """sum_{i in O_u} sum_{j in S_u} l(1, s_ui - s_uj); S_u are the items without a click of the largest `uniform`."""
    drawn, negatives = top_k(jnp.where(x > 0, -1.0, uniform), min(config.negatives, items), items)
    difference = scores[:, :, None] - columns(scores, negatives)[:, None]
    pair = (x[:, :, None] > 0) & (drawn >= 0)[:, None]
    return jnp.sum(pointwise(difference, jnp.ones_like(difference), config.loss), axis=(1, 2), where=pair)


def pair_rows(
    x: Float[Array, "b items"], uniform: Float[Array, "b items"], config: CDAEConfig, items: int
) -> Float[Array, "b items"]:
    """Which items are in a user's pairs: the clicks, and the items of S_u."""
    drawn, _ = top_k(jnp.where(x > 0, -1.0, uniform), min(config.negatives, items), items)
    real = jnp.arange(x.shape[1])[None] < items
    some = jnp.any(x > 0, axis=1, keepdims=True)  # without a click there is no pair
    return jnp.where((x > 0) | (some & real & (uniform >= drawn[:, -1:])), 1.0, 0.0)


def apply(
    params: PyTree, x: Float[Array, "b items"], user: Int[Array, " b"], config: CDAEConfig
) -> Float[Array, "b items"]:
    """The scores of all items."""
    users = len(params["users"]) if config.user_node else 0
    scores: Any = network(config, users, len(params["inputs"])).apply({"params": params}, x, user)
    return scores


def scores(
    params: PyTree, x: Float[Array, "b items"], user: Int[Array, " b"], config: CDAEConfig
) -> Float[Array, "b items"]:
    """Scores by which unseen items are ranked, from uncorrupted clicks; no user node for a number that isn't a user's.

    A network that never saw a click in training (everything masked) sees none here.
    """
    blind = config.corruption == "mask" and config.corruption_amount == 1
    return apply(params, jnp.zeros_like(x) if blind else x, user, config)
