"""The recipe of ../shared/parity/README.md: weights and noise of the official GWAE code."""

import zlib

import numpy as np

from train.steps.gwae import CriticNoise, StepNoise

PRIORS = {
    "neural": "neural",
    "factorized_neural": "factorised-neural",
    "gm": "gaussian-mixture",
    "causal": "causal",
    "vq": "vector-quantised",
    "factorized_normal": "normal",
    "factorized_uniform": "uniform",
    "spherical": "spherical",
}


def recipe(config: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The official test's value of one state dict entry."""
    rs = np.random.RandomState(zlib.crc32(f"{config}/{name}".encode()))
    leaf = name.rpartition(".")[2]
    match leaf:
        case "weight" | "weight_orig":
            bound = 1 / np.sqrt(np.prod(shape[1:]))
            value = rs.uniform(-bound, bound, shape)
        case "bias":
            bound = 1 / np.sqrt(shape[0])
            value = rs.uniform(-bound, bound, shape)
        case "weight_u" | "weight_v":
            value = rs.standard_normal(shape)
            value /= np.linalg.norm(value)
        case "component_sqrtprecision":
            value = np.eye(shape[-1]) + 0.01 * rs.standard_normal(shape)
        case "running_mean":
            value = np.zeros(shape)
        case "running_var":
            value = np.ones(shape)
        case "log_distance_coef":
            value = np.log(2.5)
        case _:
            value = rs.standard_normal(shape)
    return np.asarray(value, np.float32)


def step_noise(golden: dict[str, np.ndarray], prior: str, critic_steps: int = 5) -> StepNoise:
    """The random draws of one official step, in call order."""
    names = sorted(name for name in golden if name.startswith("train/noise_"))
    draws = iter([golden[name] for name in names])
    kinds = ("uniform", "normal") if prior == "gaussian-mixture" else ("normal",)

    def prior_noise() -> dict[str, np.ndarray]:
        return {kind: next(draws) for kind in kinds}

    posterior, main = next(draws), prior_noise()
    steps = [
        CriticNoise(posterior=next(draws), prior=prior_noise(), t=next(draws)) for _ in range(critic_steps)
    ]
    stacked = CriticNoise(
        posterior=np.stack([s.posterior for s in steps]),
        prior={kind: np.stack([s.prior[kind] for s in steps]) for kind in kinds},
        t=np.stack([s.t for s in steps]),
    )
    return StepNoise(posterior=posterior, prior=main, critic=stacked)
