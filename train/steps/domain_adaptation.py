"""One update of domain adaptation with CLUB: features of the content that tell nothing of the domain.

The last experiment of Cheng et al., "CLUB", ICML 2020. One network makes features of the content, which classify the
labelled images of the source; a second one of the same shape makes features of the domain, which tell source from
target; and the mutual information of the two is lowered through the first. The target's labels are never used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int, PyTree

from jaxmodels.critics import MLP, ConditionalGaussian
from jaxmodels.domain_features import DomainFeatures
from objectives.mutual_information import upper
from objectives.mutual_information.conditional import gaussian_learning_loss
from train.bounds import AtLeast, NonEmpty, Positive, Within
from train.devices import on_any_mesh
from train.steps.image_types import require_floats
from train.update import Metrics, State, descend, fresh, noise_key

Method = Literal["source-only", "club", "club-sampled"]
CLASSES, BYTES = 10, 255.0


@dataclass(frozen=True, kw_only=True)
class AdaptationConfig:
    """Settings of domain adaptation; the defaults are those of the official code."""

    channels: Annotated[tuple[Annotated[int, AtLeast(1)], ...], NonEmpty()] = (96, 192, 192)
    """Channels of each block of convolutions, in both networks; the last are the features."""
    convolutions: Annotated[int, AtLeast(1)] = 3
    """Convolutions of a block."""
    dropout: Annotated[float, Within(0, 1, "[)")] = 0.5
    """Dropout rate between blocks."""
    noise: Annotated[float, AtLeast(0)] = 1.0
    """Standard deviation of the noise that is added between blocks."""
    domain_hidden: Annotated[int, AtLeast(1)] = 128
    """Hidden units of the classifier of domains."""
    weight: Annotated[float, AtLeast(0)] = 0.1
    """Weight of the estimate."""
    likelihood: Literal["official", "gaussian"] = "official"
    """What q learns: the official code leaves the log-variance out of the log-likelihood, which then goes to the
    edge of its range; `gaussian` is the paper's."""
    learning_rate: Annotated[float, Positive()] = 1e-3
    """Learning rate of Adam, for every network."""
    steps: Annotated[int, AtLeast(1)] = 15_000
    """Number of updates."""
    batch_size: Annotated[int, AtLeast(2)] = 64
    """Images of each domain per update."""


AdaptationState = State
"""params: {"content": {"features", "classes"}, "domain": {"features", "domains"}, "q"}, an Adam for each."""


def modules(config: AdaptationConfig) -> dict[str, dict[str, nn.Module]]:
    """Every network, by the parameters of `AdaptationState`."""
    return {
        "content": {"features": extractor(config), "classes": MLP((CLASSES,))},
        "domain": {"features": extractor(config), "domains": MLP((config.domain_hidden, 2))},
        "q": {"q": conditional(config)},
    }


def conditional(config: AdaptationConfig) -> ConditionalGaussian:
    """q(domain features | content features)."""
    width = config.channels[-1]
    return ConditionalGaussian(width, (width,), initialisation="glorot")


def extractor(config: AdaptationConfig) -> DomainFeatures:
    """The network of content and that of the domain."""
    return DomainFeatures(config.channels, config.convolutions, config.dropout, config.noise)


def init_state(key: jax.Array, config: AdaptationConfig, shape: tuple[int, int, int]) -> AdaptationState:
    """A fresh state for images of a shape. The key initialises it and seeds every later update."""
    run_key, key = jax.random.split(key)
    image, features = jnp.zeros((2, *shape)), jnp.zeros((2, config.channels[-1]))
    params: dict[str, Any] = {}
    for i, (group, members) in enumerate(modules(config).items()):
        params[group] = {}
        for j, (name, module) in enumerate(members.items()):
            inputs = (image, False) if name == "features" else (features,)
            own_key = jax.random.fold_in(key, 2 * i + j)
            params[group][name] = module.init(own_key, *inputs)["params"]
    optimisers = {group: optimiser(config).init(members) for group, members in params.items()}
    return fresh(run_key, params, optimisers)


def optimiser(config: AdaptationConfig) -> optax.GradientTransformation:
    """Adam with beta_1 = 0.5, one for q, one for the content, one for the domain."""
    return optax.adam(config.learning_rate, b1=0.5)


@on_any_mesh
def train_step(
    state: AdaptationState, batch: dict[str, dict[str, Array]], config: AdaptationConfig, method: Method
) -> tuple[AdaptationState, Metrics]:
    """Updates of q, then of the content, then of the domain, each after the one before; `source-only`: of the content.

    Args:
      state: before the updates.
      batch: source, {"image" [b, h, w, 3] in [0, 1], "label" [b]}, and target, whose label is not used.
      config: see there.
      method: `source-only` learns the classes of the source and nothing else.

    Returns:
      The state, and the metrics loss (that of the content), cross_entropy, error on the source, and, but for
      `source-only`, information (the estimate, nats) and domain_loss.
    """
    keys = jax.random.split(noise_key(state), 3)
    params, optimisers = dict(state.params), dict(state.optimiser)
    losses = {"content": content_loss}
    if method != "source-only":
        losses = {"q": q_loss, "content": content_loss, "domain": domain_loss}
    metrics: Metrics = {}
    for key, (group, loss) in zip(keys, losses.items(), strict=False):

        def of_group(own: PyTree, group: str = group, loss: Callable = loss, key: jax.Array = key) -> tuple:
            return loss({**params, group: own}, batch, key, config, method)

        params[group], optimisers[group], _, found = descend(
            of_group, optimiser(config), params[group], optimisers[group]
        )
        metrics |= found
    return state.replace(step=state.step + 1, params=params, optimiser=optimisers), metrics


def q_loss(
    params: PyTree, batch: dict, key: jax.Array, config: AdaptationConfig, method: Method
) -> tuple[Float[Array, ""], Metrics]:
    """Minus twice the mean log-likelihood of q(domain features | content features), up to a constant."""
    content, domain = both_features(params, batch, key, config)
    mu, logvar = q_of(params, content, config)
    if config.likelihood == "official":
        return jnp.mean(jnp.sum((mu - domain) ** 2 * jnp.exp(-logvar), axis=-1)), {}
    return jnp.mean(gaussian_learning_loss(domain, mu, logvar)), {}


def content_loss(
    params: PyTree, batch: dict, key: jax.Array, config: AdaptationConfig, method: Method
) -> tuple[Float[Array, ""], Metrics]:
    """Mean cross entropy of the source's classes + weight I(content; domain)."""
    features_key, index_key = jax.random.split(key)
    source = batch["source"]
    if method == "source-only":
        content = features(params["content"], source["image"], features_key, config)
        loss, metrics = class_loss(params, content, source["label"])
        return loss, {**metrics, "loss": loss}
    content, domain = both_features(params, batch, features_key, config)
    cross_entropy, metrics = class_loss(params, content[: len(source["label"])], source["label"])
    mu, logvar = q_of(params, content, config)
    if method == "club":
        information = upper.vclub(domain, mu, logvar)
    else:
        index = upper.negative_index(index_key, len(domain))
        information = jnp.mean(upper.vclub_sampled(domain, mu, logvar, index))
    loss = cross_entropy + config.weight * information
    return loss, {**metrics, "information": information, "loss": loss}


def class_loss(
    params: PyTree, content: Float[Array, "b f"], label: Int[Array, " b"]
) -> tuple[Float[Array, ""], Metrics]:
    """Mean cross entropy of the classes."""
    logits = classes_of(params, content)
    loss = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, label))
    return loss, {"cross_entropy": loss, "error": jnp.mean(jnp.argmax(logits, axis=-1) != label)}


def domain_loss(
    params: PyTree, batch: dict, key: jax.Array, config: AdaptationConfig, method: Method
) -> tuple[Float[Array, ""], Metrics]:
    """Binary cross entropies of one-hot domains: mean over the source's images + mean over the target's."""
    image = images_of(batch)
    found = features(params["domain"], image, key, config)
    logits = MLP((config.domain_hidden, 2)).bind({"params": params["domain"]["domains"]})(found)
    is_target = jnp.arange(len(image)) >= len(batch["source"]["label"])
    one_hot = jax.nn.one_hot(is_target.astype(jnp.int32), 2)
    each = jnp.mean(optax.sigmoid_binary_cross_entropy(logits, one_hot), axis=-1)
    loss = jnp.mean(each, where=~is_target) + jnp.mean(each, where=is_target)
    return loss, {"domain_loss": loss}


def both_features(
    params: PyTree, batch: dict, key: jax.Array, config: AdaptationConfig
) -> tuple[Float[Array, "n f"], Float[Array, "n f"]]:
    """Features of the content and of the domain, of the source's images and then of the target's."""
    content_key, domain_key = jax.random.split(key)
    image = images_of(batch)
    content = features(params["content"], image, content_key, config)
    return content, features(params["domain"], image, domain_key, config)


def images_of(batch: dict) -> Float[Array, "n h w 3"]:
    """Images of both domains: batch norm sees them as one batch."""
    return jnp.concatenate([batch["source"]["image"], batch["target"]["image"]])


def features(
    members: PyTree, image: Float[Array, "b h w 3"], key: jax.Array | None, config: AdaptationConfig
) -> Float[Array, "b f"]:
    """With dropout and noise if there is a key, without otherwise. Pixels count from 0 to 255, as in the code.

    Raises:
      TypeError: the images, of [0, 1], are not floats.
    """
    image, rngs = require_floats(image), {}
    if key is not None:
        dropout_key, noise_key = jax.random.split(key)
        rngs = {"dropout": dropout_key, "noise": noise_key}
    return extractor(config).bind({"params": members["features"]}, rngs=rngs)(BYTES * image, key is not None)


def classes_of(params: PyTree, content: Float[Array, "b f"]) -> Float[Array, "b c"]:
    """Logits."""
    return MLP((CLASSES,)).bind({"params": params["content"]["classes"]})(content)


def q_of(
    params: PyTree, content: Float[Array, "n f"], config: AdaptationConfig
) -> tuple[Float[Array, "n f"], Float[Array, "n f"]]:
    """Mean and log-variance of q(domain features | content features)."""
    return conditional(config).bind({"params": params["q"]["q"]})(content)


def predict(params: PyTree, image: Float[Array, "b h w 3"], config: AdaptationConfig) -> Int[Array, " b"]:
    """Classes, with the batch's own statistics."""
    return jnp.argmax(classes_of(params, features(params["content"], image, None, config)), axis=-1)
