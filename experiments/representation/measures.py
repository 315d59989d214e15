"""What is measured of autoencoders on the test images: reconstructions, loss terms, disentanglement."""

import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, PyTree, UInt8

from experiments import cli
from experiments.representation.autoencoding import FEWEST_IMAGES, EvaluateConfig, Learned
from experiments.representation.view import View
from train.data.split import Split
from train.errors import UserError
from train.metrics.baselines import fit_linear_codes
from train.metrics.disentanglement import Scores, score_codes
from train.metrics.image import psnr
from train.source import Source


def reconstruction_quality(
    views: list[View],
    images: UInt8[np.ndarray, "n h w c"],
    source: Source,
    split: Split,
    config: EvaluateConfig,
) -> dict[str, list[float]]:
    """Per seed, the mean over test images of the PSNR (dB) and MSE of their reconstructions; and of the mean image."""
    x = images.astype(np.float32) / 255
    out: dict[str, list[float]] = {"psnr": [], "psnr_sampled": [], "mse": []}
    for view in views:
        mu, logvar = view.encode(images)
        noise = np.random.default_rng(0).standard_normal(mu.shape)
        sampled = mu + np.exp(logvar / 2) * noise
        reconstruction = view.decode(mu)
        out["psnr"].append(_mean_psnr(reconstruction, x))
        out["psnr_sampled"].append(_mean_psnr(view.decode(sampled), x))
        out["mse"].append(float(np.mean((reconstruction - x) ** 2)))
    train_images = source[split.train[: max(config.images, FEWEST_IMAGES)]]["image"]
    linear = fit_linear_codes(train_images, views[0].means(images[:1]).shape[1])
    mean_image = (train_images.astype(np.float32) / 255).mean(0)
    out["psnr_mean_image"] = [_mean_psnr(np.broadcast_to(mean_image, x.shape), x)]
    decoded = np.clip(linear.decode(linear.encode(images)), 0, 255).astype(np.float32) / 255
    out["psnr_linear"] = [_mean_psnr(decoded, x)]
    return out


def _mean_psnr(images: np.ndarray, targets: np.ndarray) -> float:
    return float(psnr(jnp.asarray(images), jnp.asarray(targets)).mean())


def held_out_terms(
    model: Learned, seeds: list[PyTree], fresh: list[PyTree], images: UInt8[np.ndarray, "n h w c"]
) -> dict[str, dict[str, list[float]]]:
    """Every term of the loss in eval mode on test images, before and after training: term -> {start, end} -> seeds."""
    batches = images[: len(images) // 64 * 64].reshape(-1, 64, *images.shape[1:])[:8]
    eval_step = jax.jit(model.learner.eval_step)
    out: dict[str, dict[str, list[float]]] = {}
    for when, states in (("start", fresh), ("end", seeds)):
        for state in states:
            per_batch = [eval_step(state, {"image": b}, jax.random.key(i)) for i, b in enumerate(batches)]
            for name in per_batch[0]:
                value = float(np.mean([metrics[name] for metrics in per_batch]))
                out.setdefault(name, {"start": [], "end": []})[when].append(value)
    return out


def all_scores(
    model: Learned,
    views: list[View],
    fresh: list[PyTree],
    source: Source,
    split: Split,
    config: EvaluateConfig,
) -> dict[str, list[Scores]]:
    """Scores per seed of the model, and of the baselines; empty where the data have no factors."""
    if len(source.factor_names) < 2:
        cli.say("the data have no factors: no disentanglement scores")
        return {}
    batch = source[split.test[: config.train_codes + config.test_codes]]
    score = partial(_score, batch["image"], batch["factors"], source, config)
    encoders: dict[str, list[Callable]] = {model.learner.name: [view.means for view in views]}
    if config.baselines:
        encoders["random encoder"] = [View(model.learner.autoencoder, state).means for state in fresh]
        linear = fit_linear_codes(
            source[split.train[:4096]]["image"], views[0].means(batch["image"][:1]).shape[1]
        )
        encoders["linear (PCA)"] = [linear.encode]
    out = {}
    for name, functions in encoders.items():
        began = time.monotonic()
        out[name] = [score(encode) for encode in functions]
        cli.say(f"  scored {name}: {time.monotonic() - began:.0f} s")
    return out


def can_draw_by_factor(source: Source) -> bool:
    """Whether the source holds every combination of factors, as the FactorVAE and beta-VAE scores need."""
    try:
        source.index_with_factors(np.zeros((1, len(source.factor_sizes)), np.int32))
    except UserError:
        return False
    return True


def _score(
    images: UInt8[np.ndarray, "n h w c"],
    factors: Int[np.ndarray, "n f"],
    source: Source,
    config: EvaluateConfig,
    encode: Callable[[np.ndarray], np.ndarray],
) -> Scores:
    codes = encode(images)
    cut = config.train_codes

    def represent(factors: Int[np.ndarray, "n f"]) -> Float[np.ndarray, "n l"]:
        return encode(source[source.index_with_factors(factors)]["image"])

    return score_codes(
        codes[:cut],
        factors[:cut],
        codes[cut:],
        factors[cut:],
        regressor=config.regressor,
        represent=represent if config.votes and can_draw_by_factor(source) else None,
        factor_sizes=source.factor_sizes,
        train_votes=config.votes,
        test_votes=config.votes // 2,
        batch_size=config.group,
        variance_points=min(10_000, 10 * config.votes),
    )
