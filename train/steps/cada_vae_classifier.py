"""The latent classifier of CADA-VAE (Schoenfeld et al., CVPR 2019): softmax regression on drawn latents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from jaxmodels.cada_vae import Classifier
from train.bounds import AtLeast, Positive
from train.devices import on_any_mesh
from train.update import Metrics, State, fresh, single_loss


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """Settings of the latent classifier's optimiser; the defaults are those of the official code."""

    learning_rate: Annotated[float, Positive()] = 1e-3
    """Learning rate of Adam."""
    batch_size: Annotated[int, AtLeast(1)] = 32
    """Latents per update."""


ClassifierState = State
"""The optimiser's state is kept over all passes."""


def init_classifier(
    key: jax.Array, latent_dim: int, classes: int, config: ClassifierConfig
) -> ClassifierState:
    """A fresh state. The key initialises the parameters and seeds the order of every later pass."""
    run_key, init_key = jax.random.split(key)
    params = Classifier(classes).init(init_key, jnp.zeros((1, latent_dim)))["params"]
    return fresh(run_key, params, optimiser(config).init(params))


def optimiser(config: ClassifierConfig) -> optax.GradientTransformation:
    """Adam with a short memory of the gradient."""
    return optax.adam(config.learning_rate, b1=0.5, b2=0.999)


@on_any_mesh
def classifier_step(
    state: ClassifierState, batch: Mapping[str, Array], config: ClassifierConfig
) -> tuple[ClassifierState, Metrics]:
    """One update on {"z": [b, l], "label": [b] in [0, K)}."""
    return single_loss(loss, optimiser(config))(state, batch["z"], batch["label"])


def loss(params: PyTree, z: Float[Array, "b l"], label: Int[Array, " b"]) -> tuple[Float[Array, ""], Metrics]:
    """Mean negative log likelihood of the labels."""
    value = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits(params, z), label))
    return value, {"loss": value}


def logits(params: PyTree, z: Float[Array, "b l"]) -> Float[Array, "b k"]:
    """Of each class."""
    out: Any = Classifier(params["logits"]["bias"].shape[-1]).apply({"params": params}, z)
    return out


def predict(state: ClassifierState, z: Float[Array, "b l"]) -> Int[Array, " b"]:
    """The most probable class."""
    return jnp.argmax(logits(state.params, z), axis=-1)


def classifier_pass(
    state: ClassifierState,
    z: Float[Array, "n l"],
    labels: Int[Array, " n"],
    config: ClassifierConfig,
    wrap: bool,
) -> ClassifierState:
    """One pass over all latents; pure, its order is a function of (key, step).

    Args:
      state: of the classifier.
      z: latents to learn from.
      labels: their classes in [0, K).
      config: of the optimiser.
      wrap: the official code has two orders. False (generalised): the pass has an order of its own and the last partial
        batch is dropped. True (unseen classes alone): batches walk on through an endless stream of shuffled epochs,
        ceil(n / batch) in a pass, so that one may straddle two epochs.

    Raises:
      ValueError: without `wrap` the pass would have no batch.
    """
    rows = (_stream if wrap else _epoch)(state, len(z), config.batch_size)

    def body(state: ClassifierState, batch: Mapping[str, Array]) -> tuple[ClassifierState, None]:
        return classifier_step(state, batch, config)[0], None

    state, _ = jax.lax.scan(body, state, {"z": z[rows], "label": labels[rows]})
    return state


def _epoch(state: ClassifierState, size: int, batch: int) -> Int[Array, "steps batch"]:
    """The rows of each batch of a pass in an order of its own."""
    if size < batch:
        raise ValueError(f"{size} latents do not fill one batch of {batch}")
    order = jax.random.permutation(jax.random.fold_in(state.key, state.step), size)
    return order[: size // batch * batch].reshape(-1, batch)


def _stream(state: ClassifierState, size: int, batch: int) -> Int[Array, "steps batch"]:
    """The rows of the next ceil(size / batch) batches of an endless stream of shuffled epochs."""
    steps = -(-size // batch)
    # As many epochs as a pass can touch that begins on the last row of one.
    epochs = -(-(size - 1 + steps * batch) // size)
    first, start = jnp.divmod(state.step * batch, size)
    keys = jax.vmap(lambda epoch: jax.random.fold_in(state.key, epoch))(first + jnp.arange(epochs))
    stream = jax.vmap(lambda key: jax.random.permutation(key, size))(keys).reshape(-1)
    return jax.lax.dynamic_slice(stream, (start,), (steps * batch,)).reshape(steps, batch)
