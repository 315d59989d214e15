"""Measuring an autoencoder run; its pictures, tables and page."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial.distance import pdist

from experiments import cli
from experiments.representation.autoencoding import EvaluateConfig, Learned
from experiments.representation.measures import all_scores, held_out_terms, reconstruction_quality
from experiments.representation.view import View
from experiments.run_report import titled
from experiments.session import Findings
from train import devices
from train.data.split import Split
from train.metrics.disentanglement import DESCRIPTIONS, Scores, describe
from train.metrics_log import read_metrics
from train.report.figures import Curve, curves, distance_scatter, heat_map, image_grid, latent_histograms
from train.report.report import Picture, Section
from train.report.tables import OVER_SEEDS, Interval, Table
from train.run_directory import RunDirectory
from train.seeds import unstack
from train.source import Source

UNITS = {
    "loss_gw": "image distance",
    "loss_w": "1/2 squared error per image",
    "loss_kl": "nats per image",
    "loss_h": "minus sum of log variances",
    "loss_tc": "nats",
}


def findings(
    run: RunDirectory, model: Learned, data: str, source: Source, split: Split, config: EvaluateConfig
) -> Findings:
    """Measures the model on the test split and draws the figures; `data` says what the data are, in words."""
    cli.say(f"evaluating at step {model.step} ...")
    seeds = [devices.on_one_device(unstack(model.state, i)) for i in range(len(model.keys))]
    views = [View(model.learner.autoencoder, state) for state in seeds]
    fresh = [jax.jit(model.learner.init)(key) for key in devices.on_one_device(model.keys)]
    images = source[split.test[: config.images]]["image"]

    quality = reconstruction_quality(views, images, source, split, config)
    terms = held_out_terms(model, seeds, fresh, images)
    scores = all_scores(model, views, fresh, source, split, config)
    results = {
        "step": model.step,
        "seeds": [model.first_seed + i for i in range(len(views))],
        "regressor": config.regressor,
        "reconstruction": quality,
        "held_out_terms": terms,
        "scores": {name: [dict(s.values) for s in per_seed] for name, per_seed in scores.items()},
    }
    pictures = _pictures(run, model, views[0], images, source, scores)
    tables = {"quality": _quality_table(model, results), "terms": _terms_table(results)}
    if scores:
        tables["scores"] = _score_table(results, config)
    return Findings(
        title=titled(model.learner.name, data),
        summary=_summary(model, results),
        sections=_sections(tables, pictures, results, config),
        results=results,
        notes=_notes(model, source, split, results, config),
        printed=list(tables.values()),
    )


def _sections(
    tables: Mapping[str, Table],
    pictures: Mapping[str, Picture],
    results: Mapping[str, Any],
    config: EvaluateConfig,
) -> list[Section]:
    """Of the page; tables are over all seeds, pictures of the first one."""
    loss = [pictures["curves"]] if "curves" in pictures else []
    sections = [
        Section("Reconstruction", tables=[tables["quality"]], pictures=[pictures["reconstructions"]]),
        Section("Latent space", pictures=[pictures[n] for n in ("traversals", "histograms")]),
        Section("Generation", pictures=[pictures[n] for n in ("samples", "distances")]),
        Section("Loss", tables=[tables["terms"]], pictures=loss),
    ]
    if "scores" not in tables:
        return sections
    described, names = describe(config.regressor), _names(results)
    text = [f"{name}: {line}." for name, line in described.items() if name in names]
    scores = Section("Disentanglement", text, tables=[tables["scores"]], pictures=[pictures["importance"]])
    return [scores, *sections]


def _pictures(
    run: RunDirectory,
    model: Learned,
    view: View,
    images: UInt8[np.ndarray, "n h w c"],
    source: Source,
    scores: Mapping[str, list[Scores]],
) -> dict[str, Picture]:
    folder = run.figures
    mu, _ = view.encode(images)
    prior_codes = view.sample(512)
    seed = f"seed {model.first_seed}"
    shown = np.stack([images[:12] / 255.0, view.decode(mu[:12])])
    grid = view.decode(prior_codes[:64]).reshape(8, 8, *images.shape[1:])
    out = {
        "reconstructions": Picture(
            image_grid(folder / "reconstructions.png", shown, ["image", "reconstruction"]),
            f"Test images and their reconstructions from the posterior mean ({seed}).",
        ),
        "traversals": Picture(
            _traversals(folder / "traversals.png", view, mu),
            "Traversals: each row moves one latent of the same test image from -2.5 to 2.5 standard deviations of "
            f"that latent over test images, all others kept ({seed}).",
        ),
        "samples": Picture(
            image_grid(folder / "prior_samples.png", grid), f"Decoded samples of the prior ({seed})."
        ),
        "distances": Picture(
            _distances(folder / "distances.png", model, view, prior_codes),
            "Distances between pairs of prior samples: of their codes, scaled, and of their decodings. The mean "
            f"absolute difference is the Gromov-Wasserstein term ({seed}).",
        ),
        "histograms": Picture(
            latent_histograms(folder / "latents.png", prior_codes, mu),
            f"Each latent over prior samples and over the posterior means of test images ({seed}).",
        ),
    }
    series = read_metrics(run.metrics) if run.metrics.is_file() else {}
    if series:
        drawn = {
            name: Curve(*value, unit=UNITS.get(name, "")) for name, value in series.items() if _is_drawn(name)
        }
        out["curves"] = Picture(curves(folder / "curves.png", drawn), "Loss terms over training.")
    if scores:
        dci = next(iter(scores.values()))[0].dci
        rows = [f"z{i}" for i in range(len(dci.importance))]
        title = f"importance of each latent for each factor, by {dci.regressor}"
        out["importance"] = Picture(
            heat_map(folder / "importance.png", dci.importance, rows, source.factor_names, title),
            f"The DCI importance matrix: a column sums to 1 ({seed}).",
        )
    return out


def _is_drawn(name: str) -> bool:
    return name.startswith(
        ("loss", "critic_loss", "critic_penalty", "validation/loss", "scale", "beta", "prior_std")
    ) and (name != "critic_penalty_one_centred")


def _traversals(path: Path, view: View, mu: Float[np.ndarray, "n l"], count: int = 11) -> Path:
    steps = np.linspace(-2.5, 2.5, count)
    size = mu.shape[1]
    shown = range(size) if size <= 16 else np.argsort(-mu.std(0))[:16]
    base = np.repeat(mu[:1], len(shown) * count, axis=0).reshape(len(shown), count, size)
    for row, latent in enumerate(shown):
        base[row, :, latent] = mu[:, latent].mean() + steps * mu[:, latent].std()
    decoded = view.decode(base.reshape(-1, size))
    grid = decoded.reshape(len(shown), count, *decoded.shape[1:])
    return image_grid(path, grid, [f"z{i}" for i in shown], [f"{s:+.1f}" for s in steps])


def _distances(path: Path, model: Learned, view: View, codes: Float[np.ndarray, "n l"]) -> Path:
    """Pairs among the first 256 prior samples, with the unit that the model gives to latent distances."""
    codes = codes[:256]
    decoded = view.decode(codes).reshape(len(codes), -1)
    latent, image = pdist(codes), pdist(decoded)
    if model.learner.gromov_wasserstein:
        scale = float(np.exp(view.state.params["log_scale"]) / codes.std(0, ddof=1).mean())
    else:
        scale = float((latent @ image) / max(latent @ latent, 1e-12))
    return distance_scatter(path, latent, image, scale)


def _names(results: Mapping[str, Any]) -> list[str]:
    """The scores that were measured."""
    first = next(iter(results["scores"].values()))[0]
    return [name for name in DESCRIPTIONS if name in first]


def _score_table(results: Mapping[str, Any], config: EvaluateConfig) -> Table:
    names, encoders, seeds = _names(results), list(results["scores"]), len(results["seeds"])
    rows = [
        [
            name,
            *(_cell([scores[name] for scores in results["scores"][encoder]], seeds) for encoder in encoders),
        ]
        for name in names
    ]
    votes = (
        f"; FactorVAE and beta-VAE scores on {config.votes} + {config.votes // 2} votes"
        if "factor_vae" in names
        else ""
    )
    caption = (
        f"Disentanglement of test images; classifiers on {config.train_codes} codes, measured on "
        f"{config.test_codes} others; DCI by {config.regressor}{votes}"
    )
    return Table(caption, ["score", *encoders], rows, OVER_SEEDS)


def _cell(values: list[float], seeds: int) -> Interval | float:
    """An interval over the run's seeds, or the number alone of what has no seeds."""
    return Interval.of(values) if len(values) == seeds else values[0]


def _quality_table(model: Learned, results: Mapping[str, Any]) -> Table:
    quality = results["reconstruction"]
    rows = [
        [f"{model.learner.name}, posterior mean", Interval.of(quality["psnr"]), Interval.of(quality["mse"])],
        [f"{model.learner.name}, posterior sample", Interval.of(quality["psnr_sampled"]), math.nan],
        ["linear (PCA) with as many latents", quality["psnr_linear"][0], math.nan],
        ["mean training image", quality["psnr_mean_image"][0], math.nan],
    ]
    return Table("Reconstruction of test images", ["from", "PSNR (dB)", "MSE"], rows)


def _terms_table(results: Mapping[str, Any]) -> Table:
    terms = results["held_out_terms"]
    needs_critic = {"loss", "loss_d"} if "loss_d" in terms else set()
    rows = [
        [name, math.nan if name in needs_critic else Interval.of(values["start"]), Interval.of(values["end"])]
        for name, values in terms.items()
    ]
    note = (
        "Before training the critic's spectral norms are random, so its term says nothing."
        if needs_critic
        else ""
    )
    return Table(
        "Terms of the loss on test images, in eval mode", ["term", "before training", "after"], rows, note
    )


def _summary(model: Learned, results: Mapping[str, Any]) -> list[str]:
    seeds = len(results["seeds"])
    psnr = np.mean(results["reconstruction"]["psnr"])
    lines = [
        f"{model.learner.name} after {results['step']:,} updates, {seeds} seed{'s' if seeds > 1 else ''}: "
        f"PSNR {psnr:.1f} dB on test images."
    ]
    if results["scores"]:
        values = [s["dci_disentanglement"] for s in next(iter(results["scores"].values()))]
        lines.append(f"DCI disentanglement {np.mean(values):.3f} by {results['regressor']}.")
    return lines


def _notes(
    model: Learned, source: Source, split: Split, results: Mapping[str, Any], config: EvaluateConfig
) -> list[str]:
    notes = [
        f"Data: {source.name}, {len(source):,} images; fixed split {len(split.train):,} / {len(split.validation):,} / "
        f"{len(split.test):,}. Everything here is measured on the test split, which nothing was chosen on.",
        f"Measured state: {config.checkpoint}. Pictures show seed {model.first_seed}.",
    ]
    if "procedural" in source.name:
        notes.append(
            "The images are rendered by an approximation of 3D Shapes; numbers are not comparable with the real set."
        )
    if results["scores"] and config.votes and "factor_vae" not in _names(results):
        notes.append(
            "No FactorVAE and beta-VAE scores: the data do not hold every combination of factors, "
            "so images can't be drawn with one factor held."
        )
    if results["scores"]:
        notes.append(
            f"Scores on {config.train_codes + config.test_codes:,} codes (posterior means), DCI by {config.regressor}: "
            "not comparable with numbers of another regressor or count."
        )
    return notes
