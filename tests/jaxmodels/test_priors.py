"""Every prior against the official samplers: two train-mode calls, running statistics, an eval call."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.priors import make_prior
from jaxmodels.torch_import.gwae import import_prior
from tests.train.steps.official_gwae import PRIORS

EXAMPLES = {"gm": 4, "vq": 5}


def official(shared, name):
    with np.load(shared / "parity" / "gwae_samplers.npz", allow_pickle=False) as archive:
        return {
            key.removeprefix(f"{name}/"): archive[key] for key in archive.files if key.startswith(f"{name}/")
        }


def noise_of(golden, call):
    draws = [golden[key] for key in sorted(golden) if key.startswith(f"{call}/noise_")]
    kinds = [key.rpartition("_")[2] for key in sorted(golden) if key.startswith(f"{call}/noise_")]
    if len(draws) == 3:
        kinds = ["normal", "permutation", "edges"]
    return dict(zip(kinds, draws, strict=True))


@pytest.mark.parametrize("name", PRIORS)
def test_official_samplers(shared, name):
    golden = official(shared, name)
    prior = make_prior(PRIORS[name], 6, EXAMPLES.get(name, 10))
    weights = {key.removeprefix("param/"): a for key, a in golden.items() if key.startswith("param/")}
    variables = jax.tree.map(jnp.asarray, import_prior(weights, PRIORS[name]))
    for call in ("train0", "train1"):
        out, changed = prior.apply(variables, noise_of(golden, call), True, mutable=["batch_stats"])
        np.testing.assert_allclose(out, golden[f"{call}/out"], atol=1e-5, rtol=0)
        variables = {**variables, **changed}
    out = prior.apply(variables, noise_of(golden, "eval"), False)
    np.testing.assert_allclose(out, golden["eval/out"], atol=1e-5, rtol=0)
    for key in (key for key in golden if key.startswith("after/")):
        statistic = {"running_mean": "mean", "running_var": "var"}[key.rpartition(".")[2]]
        np.testing.assert_allclose(
            variables["batch_stats"]["BatchNorm_0"][statistic], golden[key], atol=1e-5, rtol=0
        )
