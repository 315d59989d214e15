"""One update of GRU4Rec (Hidasi et al., ICLR 2016; Hidasi and Karatzoglou, CIKM 2018) on a session-parallel batch.

Row b of a batch is a slot that walks through a session. Its target is a positive; the other rows' targets and
additional samples, the same for all rows, are its negatives. Gradients go through the current step alone: the state
that was left by the step before is a constant.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxmodels.gru4rec import Cell, Embedding, GRU4Rec, Hidden, init_tables, input_table, zero_hidden
from objectives import ranking
from objectives.ranking import Reduction
from train.bounds import AtLeast, Must, NonEmpty, Positive, Within
from train.devices import across_devices, on_any_mesh
from train.steps.sparse_adagrad import Adagrad, adagrad_rows, adagrad_tree, init_adagrad

Loss = Literal["cross-entropy", "bpr-max", "top1-max", "bpr", "top1"]
Batch = Mapping[str, Array]
Metrics = dict[str, Float[Array, ""]]


def _is_activation(name: str) -> bool:
    try:
        ranking.activation_parameters(name)
    except ValueError:
        return False
    return True


ACTIVATION = Must(_is_activation, f"one of {ranking.ACTIVATIONS}")


@dataclass(frozen=True, kw_only=True)
class GRU4RecConfig:
    """The network; the defaults are those of the published settings of RSC15."""

    layers: Annotated[tuple[Annotated[int, AtLeast(1)], ...], NonEmpty()] = (100,)
    """Units of each GRU layer."""
    cell: Cell = "original"
    """The cell of the original code, or that of its author's PyTorch port, torch.nn.GRUCell."""
    embedding: Embedding = "shared"
    """What an item is to the first layer: a row of its input weights (none), an embedding of its own (separate), or
    its row of the output weights (shared)."""
    embedding_dim: Annotated[int, AtLeast(1)] = 100
    """Width of separate embeddings."""
    init_sigma: Annotated[float, AtLeast(0)] = 0.0
    """Initial weights are uniform in (-s, s) with this s; 0: s = sqrt(6 / (rows + columns)) of each block."""


@dataclass(frozen=True, kw_only=True)
class RankingConfig:
    """What is minimised, and how; the defaults are those of cross-entropy on RSC15 (README of the official code)."""

    loss: Loss = "cross-entropy"
    """Ranking loss."""
    reduction: Reduction = "coded"
    """bpr, top1: over the columns as in the official code, or the mean over negatives of the papers."""
    activation: Annotated[str, ACTIVATION] = "linear"
    """Activation of scores: linear, relu, tanh, leaky-A, elu-A, selu-L-A. With cross-entropy the softmax follows."""
    score_regularisation: Annotated[float, AtLeast(0)] = 0.0
    """bpr-max: weight of the squared scores of the negatives (bpreg)."""
    label_smoothing: Annotated[float, Within(0, 1, "[)")] = 0.0
    """cross-entropy: share of the target that goes to the other columns."""
    log_q: Annotated[float, AtLeast(0)] = 1.0
    """Strength of the correction of scores by the log popularity of the columns, while training (logq)."""
    samples: Annotated[int, AtLeast(0)] = 2048
    """Additional negatives of each update."""
    sample_alpha: Annotated[float, AtLeast(0)] = 0.75
    """They are drawn by the training support to this power: 0 is uniform, 1 by popularity."""
    dropout_embed: Annotated[float, Within(0, 1, "[)")] = 0.1
    """Share of the input embedding that is dropped."""
    dropout_hidden: Annotated[float, Within(0, 1, "[)")] = 0.0
    """Share of every state that is dropped, in what is carried to the next step as well."""
    learning_rate: Annotated[float, Positive()] = 0.1
    """Learning rate of Adagrad."""
    momentum: Annotated[float, Within(0, 1, "[)")] = 0.0
    """Momentum of Adagrad."""
    epochs: Annotated[int, AtLeast(1)] = 10
    """Passes over the training sessions, or the most that validation may choose."""


class GRU4RecState(flax.struct.PyTreeNode):
    """params: {"network", "tables"}; hidden: the state of each layer in every slot after the last update."""

    step: jax.Array
    params: PyTree
    optimiser: PyTree
    hidden: Hidden
    key: jax.Array


def network(config: GRU4RecConfig, objective: RankingConfig) -> GRU4Rec:
    """The network with the objective's dropout."""
    return GRU4Rec(
        config.layers,
        config.cell,
        config.embedding,
        objective.dropout_embed,
        objective.dropout_hidden,
        config.init_sigma,
    )


def init_state(
    key: jax.Array, config: GRU4RecConfig, objective: RankingConfig, items: int, batch_size: int
) -> GRU4RecState:
    """A fresh state. The key initialises the parameters and seeds every later update."""
    run_key, table_key, network_key = jax.random.split(key, 3)
    tables = init_tables(
        table_key, items, config.layers, config.embedding, config.embedding_dim, config.init_sigma
    )
    hidden = zero_hidden(batch_size, config.layers)
    x = jnp.zeros((batch_size, tables[input_table(tables)].shape[1]))
    params = {
        "network": network(config, objective).init(network_key, x, hidden)["params"],
        "tables": tables,
    }
    return GRU4RecState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        optimiser=init_adagrad(params, objective.momentum),
        hidden=hidden,
        key=run_key,
    )


def sampling_cdf(support: Int[np.ndarray, " items"], alpha: float) -> Float[np.ndarray, " items"]:
    """The distribution function of additional negatives, P(i) in proportion to support_i^alpha; its end is 1."""
    weights = np.where(support > 0, np.asarray(support, np.float64), 0) ** alpha * (support > 0)
    cdf = np.cumsum(weights) / weights.sum()
    cdf[-1] = 1
    return cdf.astype(np.float32)


def draw_items(uniform: Float[Array, " n"], cdf: Float[Array, " items"]) -> Int[Array, " n"]:
    """The first item whose distribution function reaches each uniform number."""
    return jnp.searchsorted(cdf, uniform, side="left").astype(jnp.int32)


def item_arrays(support: Int[np.ndarray, " items"], objective: RankingConfig) -> dict[str, np.ndarray]:
    """What a batch has to bring along for all items: {"support", "cdf"}."""
    return {"support": support.astype(np.float32), "cdf": sampling_cdf(support, objective.sample_alpha)}


@on_any_mesh
def train_step(
    state: GRU4RecState, batch: Batch, config: GRU4RecConfig, objective: RankingConfig
) -> tuple[GRU4RecState, Metrics]:
    """One update; pure, its samples and its dropout are functions of (key, step).

    Args:
      state: before it.
      batch: {"input", "target", "reset", "valid"} [slots] of a schedule (`train.data.session_parallel`), and
        {"support", "cdf"} [items] of `item_arrays`.
      config: of the network.
      objective: of the update.
    """
    sample_key, dropout_key = jax.random.split(jax.random.fold_in(state.key, state.step))
    uniform = jax.random.uniform(sample_key, (objective.samples,))
    return update(state, batch, draw_items(uniform, batch["cdf"]), dropout_key, config, objective)


def update(
    state: GRU4RecState,
    batch: Batch,
    samples: Int[Array, " n"],
    dropout_key: jax.Array,
    config: GRU4RecConfig,
    objective: RankingConfig,
) -> tuple[GRU4RecState, Metrics]:
    """One update with given additional negatives. Slots without an event change nothing."""
    slots = {name: batch[name] for name in ("input", "target", "reset", "valid")}
    slots = across_devices(slots)
    tables, valid = state.params["tables"], slots["valid"]
    columns = jnp.concatenate([slots["target"], samples])
    rows = {
        "input": tables[input_table(tables)][slots["input"]],
        "output": tables["output"][columns],
        "bias": tables["bias"][columns],
    }
    hidden = start_anew(state.hidden, slots["reset"])

    def loss(weights: PyTree, rows: Mapping[str, Array]) -> tuple[Float[Array, ""], tuple[Hidden, Array]]:
        after = _apply(weights, rows["input"], hidden, config, objective, dropout_key)
        scores = after[-1] @ rows["output"].T + rows["bias"][None]
        losses = row_losses(scores, valid, batch["support"][columns], objective)
        total = jnp.sum(losses, where=valid)
        return total / len(valid), (after, total / jnp.maximum(jnp.sum(valid), 1))

    gradient_of = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    (value, (after, row_loss)), (weight_slopes, row_slopes) = gradient_of(state.params["network"], rows)
    params, optimiser = _step(state, slots, columns, weight_slopes, row_slopes, objective)
    state = state.replace(step=state.step + 1, params=params, optimiser=optimiser, hidden=after)
    return state, {"loss": value, "row_loss": row_loss}


def row_losses(
    scores: Float[Array, "b n"],
    valid: Bool[Array, " b"],
    support: Float[Array, " n"],
    objective: RankingConfig,
) -> Float[Array, " b"]:
    """The ranking loss of every row; row b's target is column b, and columns of slots without an event don't exist.

    Args:
      scores: raw, of the targets and, after them, of the samples.
      valid: which slots have an event.
      support: training events of each column's item.
      objective: which loss.
    """
    slots, n = len(valid), scores.shape[1]
    target, where = jnp.arange(slots), jnp.concatenate([valid, jnp.ones(n - slots, bool)])[None]
    if objective.log_q:
        log_q = ranking.column_log_q(support, slots, objective.sample_alpha)
        scores = ranking.correct_log_q(scores, log_q, objective.log_q)
    scores = ranking.activate(scores, objective.activation)
    match objective.loss:
        case "cross-entropy":
            return ranking.cross_entropy(scores, target, where, objective.label_smoothing)
        case "bpr-max":
            return ranking.bpr_max(scores, target, where, objective.score_regularisation)
        case "top1-max":
            return ranking.top1_max(scores, target, where)
        case "bpr":
            return ranking.bpr(scores, target, where, objective.reduction)
        case "top1":
            return ranking.top1(scores, target, where, objective.reduction)


def _step(
    state: GRU4RecState,
    slots: Batch,
    columns: Int[Array, " n"],
    weight_slopes: PyTree,
    row_slopes: Mapping[str, Array],
    objective: RankingConfig,
) -> tuple[PyTree, PyTree]:
    """Parameters and optimiser after an Adagrad step on the network and on the rows that were looked up."""
    how = Adagrad(objective.learning_rate, objective.momentum)
    tables, kept = dict(state.params["tables"]), dict(state.optimiser["tables"])
    # Rows of slots without an event were not looked up: they get a number past the last item.
    items = len(tables["bias"])
    came = jnp.where(slots["valid"], slots["input"], items)
    scored = columns.at[: len(came)].set(jnp.where(slots["valid"], slots["target"], items))
    touched = {"bias": (scored, row_slopes["bias"]), "output": (scored, row_slopes["output"])}
    if input_table(tables) == "input":
        touched["input"] = (came, row_slopes["input"])
    else:
        both = jnp.concatenate([row_slopes["input"], row_slopes["output"]])
        touched["output"] = (jnp.concatenate([came, scored]), both)
    for name, (rows, slopes) in touched.items():
        tables[name], kept[name] = adagrad_rows(tables[name], kept[name], rows, slopes, how)
    weights, moments = adagrad_tree(state.params["network"], state.optimiser["network"], weight_slopes, how)
    return {"network": weights, "tables": tables}, {"network": moments, "tables": kept}


def start_anew(hidden: Hidden, reset: Bool[Array, " b"]) -> Hidden:
    """The states with zeros where a session begins."""
    return tuple(jnp.where(reset[:, None], 0, h) for h in hidden)


def advance(
    params: PyTree,
    hidden: Hidden,
    item: Int[Array, " b"],
    reset: Bool[Array, " b"],
    config: GRU4RecConfig,
    objective: RankingConfig,
) -> tuple[Hidden, Float[Array, "b items"]]:
    """The states after an item came in, without dropout, and the scores of all items to come next."""
    tables = params["tables"]
    x = tables[input_table(tables)][item]
    after = _apply(params["network"], x, start_anew(hidden, reset), config, objective, None)
    scores = after[-1] @ tables["output"].T + tables["bias"][None]
    return after, ranking.activate(scores, objective.activation)


def _apply(
    weights: PyTree,
    x: Float[Array, "b d"],
    hidden: Hidden,
    config: GRU4RecConfig,
    objective: RankingConfig,
    dropout_key: jax.Array | None,
) -> Hidden:
    rngs = None if dropout_key is None else {"dropout": dropout_key}
    model = network(config, objective)
    after: Any = model.apply({"params": weights}, x, hidden, train=dropout_key is not None, rngs=rngs)
    return after
