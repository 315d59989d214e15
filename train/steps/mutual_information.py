"""One update of an estimator of mutual information (see `train.steps.mi_estimators`).

As in the studies of Cheng et al., ICML 2020, and Poole et al., ICML 2019, a step estimates on a fresh batch and then
learns from that batch.
"""

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, PyTree

from jaxmodels.critics import Concatenated, ConditionalGaussian, LogBaseline, Separable
from objectives.mutual_information import lower, upper
from objectives.mutual_information.conditional import gaussian_learning_loss, gaussian_scores
from train.devices import on_any_mesh
from train.steps.mi_estimators import Conditional, ConditionalBound, Critic, Estimator, Known
from train.update import Metrics, descend


class MIState(flax.struct.PyTreeNode):
    """params: {"critic", "baseline"}, {"q"}, or nothing; log_ema: MINE's, of no meaning before its first batch."""

    step: jax.Array
    params: PyTree
    optimiser: PyTree
    log_ema: jax.Array
    key: jax.Array


def make_modules(estimator: Estimator, dim: int) -> dict[str, nn.Module]:
    """The networks of an estimator for y of `dim` dimensions."""
    match estimator:
        case Critic(network="separable"):
            critic = Separable(estimator.hidden, estimator.embedding, estimator.initialisation)
        case Critic():
            critic = Concatenated(estimator.hidden, estimator.initialisation)
        case Conditional():
            return {"q": ConditionalGaussian(dim, estimator.hidden)}
        case Known():
            return {}
    if estimator.bound in ("tuba", "interpolated"):
        return {"critic": critic, "baseline": LogBaseline(estimator.baseline, estimator.initialisation)}
    return {"critic": critic}


def init_state(key: jax.Array, estimator: Estimator, dim: int) -> MIState:
    """A fresh state for x and y of `dim` dimensions. The key initialises it and seeds every later update."""
    run_key, *keys = jax.random.split(key, 3)
    row = jnp.zeros((2, dim))
    inputs = {"critic": (row, row), "baseline": (row,), "q": (row,)}
    params = {
        name: module.init(own, *inputs[name])["params"]
        for own, (name, module) in zip(keys, make_modules(estimator, dim).items(), strict=False)
    }
    return MIState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        optimiser=optimiser(estimator).init(params),
        log_ema=jnp.zeros(()),
        key=run_key,
    )


def optimiser(estimator: Estimator) -> optax.GradientTransformation:
    """Adam with the study's learning rate and epsilon."""
    if isinstance(estimator, Known):
        return optax.identity()
    return optax.adam(estimator.learning_rate, eps=estimator.epsilon)


@on_any_mesh
def train_step(state: MIState, batch: PyTree, estimator: Estimator) -> tuple[MIState, Metrics]:
    """The estimate on batch["x"], batch["y"] [k, d], then one update on the same batch.

    Args:
      state: before the update.
      batch: x and y, and the scalars rho and mutual_information of their distribution: `Known` needs rho, nothing
        else looks at either.
      estimator: what is estimated and learned.

    Returns:
      The state, and the metrics estimate, loss and mutual_information, in nats but for the loss.
    """
    key = jax.random.fold_in(state.key, state.step)
    given = state.log_ema, batch, key, estimator, state.step == 0
    params, optimiser_state, _, (metrics, log_ema) = descend(
        objective, optimiser(estimator), state.params, state.optimiser, *given
    )
    state = state.replace(step=state.step + 1, params=params, optimiser=optimiser_state, log_ema=log_ema)
    return state, {**metrics, "mutual_information": batch["mutual_information"]}


def objective(
    params: PyTree,
    log_ema: Float[Array, ""],
    batch: PyTree,
    key: jax.Array,
    estimator: Estimator,
    is_first: Array | bool = False,
) -> tuple[Float[Array, ""], tuple[Metrics, Float[Array, ""]]]:
    """What is minimised, with the metrics and MINE's new moving average.

    Of a critic the loss is minus the bound. Of q it is the learning loss of CLUB's code, minus twice the mean
    log-likelihood up to a constant, and the estimate has no part in it. `is_first` starts MINE's average anew.
    """
    x, y = batch["x"], batch["y"]
    modules = make_modules(estimator, y.shape[-1])
    networks = {name: module.bind({"params": params[name]}) for name, module in modules.items()}
    match estimator:
        case Critic():
            value, log_ema = critic_bound(networks, log_ema, is_first, x, y, key, estimator)
            loss = -value
        case Conditional():
            mu, logvar = networks["q"](x)
            loss = jnp.mean(gaussian_learning_loss(y, mu, logvar))
            value = conditional_bound(estimator.bound, y, mu, logvar, key)
        case Known():
            logvar = jnp.broadcast_to(jnp.log1p(-(batch["rho"] ** 2)), y.shape)
            loss = jnp.zeros(())
            value = conditional_bound(estimator.bound, y, batch["rho"] * x, logvar, key)
    return loss, ({"estimate": value, "loss": loss}, log_ema)


def critic_bound(
    networks: dict[str, nn.Module],
    log_ema: Float[Array, ""],
    is_first: Array | bool,
    x: Float[Array, "k d"],
    y: Float[Array, "k d"],
    key: jax.Array,
    estimator: Critic,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The bound, and MINE's new moving average; `key` draws the marginal samples of CLUB's MINE."""
    critic = networks["critic"]
    assert isinstance(critic, Separable | Concatenated)
    u, v = critic.encode(x, y)
    if estimator.bound == "dv-sampled":
        index = upper.negative_index(key, len(y), "uniform")
        return lower.dv_sampled(critic.paired(u, v), critic.paired(u, v[index])), log_ema
    scores = critic.score(u, v)
    scores = jax.nn.softplus(scores) if estimator.positive else scores
    match estimator.bound:
        case "nwj":
            value = lower.nwj(scores, "all" if estimator.joint_among_marginal else "off-diagonal")
        case "tuba":
            value = lower.tuba(scores, networks["baseline"](y))
        case "infonce":
            value = lower.infonce(scores)
        case "js":
            value = lower.js(scores, estimator.shift)
        case "smile":
            value = lower.smile(scores, estimator.clip)
        case "mine":
            # The state holds a finite number before the first batch, as checkpoints must.
            log_ema = jnp.where(is_first, -jnp.inf, log_ema)
            value, log_ema = lower.mine(scores, log_ema, estimator.ema_rate)
        case "interpolated":
            value = lower.interpolated(scores, networks["baseline"](y), estimator.alpha_logit)
    return value, log_ema


def conditional_bound(
    bound: ConditionalBound,
    y: Float[Array, "k d"],
    mu: Float[Array, "k d"],
    logvar: Float[Array, "k d"],
    key: jax.Array,
) -> Float[Array, ""]:
    """The estimate with q(y|x_i) = N(mu_i, diag exp(logvar_i)); `key` draws the negatives of sampled CLUB."""
    match bound:
        case "club":
            return upper.vclub(y, mu, logvar)
        case "club-sampled":
            return jnp.mean(upper.vclub_sampled(y, mu, logvar, upper.negative_index(key, len(y))))
        case "leave-one-out":
            return upper.leave_one_out(gaussian_scores(y, mu, logvar))
        case "leave-one-out-coded":
            return upper.leave_one_out_coded(gaussian_scores(y, mu, logvar))
        case "vub":
            return jnp.mean(upper.vub(mu, logvar))
        case "infonce":
            return lower.infonce(gaussian_scores(y, mu, logvar))
