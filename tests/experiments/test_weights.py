"""Weights out of runs and into runs: there and back, what serves then, and weights of something else."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments import (
    cada_vae_gzsl,
    cdae_movielens,
    cli,
    deepstyle_fashion,
    gaugan,
    gru4rec_sessions,
    gwae_3dshapes,
    mi_gaussian,
    multvae_movielens,
    recommend,
    unions,
    weights,
)
from experiments.recommendation.serving import CATALOGUE
from experiments.representation.models import names_of
from experiments.representation.view import open_model
from experiments.synthesis.layout_synthesis import LAYOUT
from experiments.zero_shot import protocol
from tests.experiments.commands import said_on_failure
from train import seeds
from train.data.layout_world import LayoutWorld
from train.run_directory import create_run, write_json
from train.steps.gwae_networks import GWAEConfig
from train.stored_state import save_state

ITEMS = ["a", "b", "c", "d", "e"]
NETWORK = {"hidden": (4,), "latent_dim": 3}
SMALL = {
    multvae_movielens: {
        "models": ("vae", "dae"),
        "model": replace(multvae_movielens.QUICK.model, **NETWORK),
        "dae": replace(multvae_movielens.QUICK.dae, latent_dim=3),
    },
    cdae_movielens: {
        "models": ("M1", "M4-no-user"),
        "model": replace(cdae_movielens.QUICK.model, latent_dim=3),
    },
    gru4rec_sessions: {"losses": ("xe",), "model": replace(gru4rec_sessions.QUICK.model, layers=(6,))},
    deepstyle_fashion: {"model": deepstyle_fashion.ModelConfig(l2=(0.1,), factors=4, visual_factors=2)},
    cada_vae_gzsl: {
        "model": replace(cada_vae_gzsl.QUICK.model, latent_dim=2, image_hidden=(5, 5), side_hidden=(4, 4))
    },
    gwae_3dshapes: {"model": replace(gwae_3dshapes.QUICK.model, latent_dim=2, prior="normal")},
    gaugan: {"model": replace(gaugan.QUICK.model, width=1, hidden=2, discriminator_width=2, encoder_size=8)},
}


def fresh(module, path, **changes):
    """A run of untrained models of two seeds."""
    config = replace(module.QUICK, **{**SMALL[module], "seeds": 2, **changes})
    experiment = module.EXPERIMENT
    run = create_run(experiment.name, cli.to_json(config), path)
    write_json(path / CATALOGUE, {"items": ITEMS, "users": 7, "width": 6})
    write_json(path / LAYOUT, asdict(LayoutWorld(32).layout))
    for system in experiment.systems(config, run).values():
        init = seeds.over_seeds(system.task.init, (0,), 2)
        save_state(jax.jit(init)(system.keys), system.limits, run.in_stage(system.stage))
    return path


@pytest.fixture(autouse=True)
def same_cache(monkeypatch):
    """The commands leave the suite's cache of compiled programs alone."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "unused")


@pytest.fixture(autouse=True)
def zero_shot_data(monkeypatch):
    data = SimpleNamespace(
        features=np.zeros((6, 8)), attributes={"attributes": np.zeros((3, 4))}, trainval=range(6)
    )
    monkeypatch.setattr(protocol, "open_data", lambda config: data)


@pytest.fixture(autouse=True)
def items_with_images(monkeypatch, tmp_path):
    """Seven users, five items of three features."""
    rng = np.random.default_rng(0)
    triples = [(user, item) for user in range(7) for item in range(len(ITEMS))]
    features = rng.standard_normal((len(ITEMS), 3))
    np.savez(tmp_path / "shop.npz", triples=triples, feat=features, category=np.arange(len(ITEMS)) % 2)
    data = deepstyle_fashion.DataConfig(source="npz", path=tmp_path / "shop.npz")
    monkeypatch.setitem(SMALL[deepstyle_fashion], "data", data)


def call(*arguments):
    weights.main([str(argument) for argument in arguments])


def arrays(path):
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


@pytest.mark.parametrize(
    ("module", "model", "some"),
    [
        (multvae_movielens, "vae", {"q_layers.0.weight": (4, 5), "p_layers.1.bias": (5,)}),
        (cdae_movielens, "M1", {"inputs": (5, 3), "users": (7, 3)}),
        (deepstyle_fashion, "bpr-mf-l2-0.1", {"gamma_u": (7, 4), "beta_i": (5,)}),
        (deepstyle_fashion, "vbpr-l2-0.1", {"theta_u": (7, 2), "E": (3, 2)}),
        (deepstyle_fashion, "deepstyle-l2-0.1", {"l_c": (2, 4), "q_i": (5, 4)}),
        (gru4rec_sessions, "xe", {"Wy.weight": (5, 6), "By.weight": (5, 1)}),
        pytest.param(
            *(gaugan, "gaugan", {"discriminator_1.model4.0.bias": (1,), "up_0.norm_s.mlp_gamma.bias": (16,)}),
            marks=pytest.mark.slow,
        ),
        (cada_vae_gzsl, "cada-vae", {"img_enc/h.weight": (5, 8), "att_dec/out.bias": (4,)}),
    ],
)
def test_there_and_back(module, model, some, tmp_path):
    folder = fresh(module, tmp_path / "run")
    call("export", folder, "--out", tmp_path / "0.npz", "--model", model)
    call("export", folder, "--out", tmp_path / "1.npz", "--model", model, "--seed", 1)
    given = arrays(tmp_path / "1.npz")
    assert {name: given[name].shape for name in some} == some
    assert any(np.any(given[name] != array) for name, array in arrays(tmp_path / "0.npz").items())
    call("import", folder, "--weights", tmp_path / "1.npz", "--out", tmp_path / "new", "--model", model)
    call("export", tmp_path / "new", "--out", tmp_path / "again.npz", "--checkpoint", "best")
    again = arrays(tmp_path / "again.npz")
    assert set(again) == set(given)
    for name, array in given.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "name"), [("gwae", "enc_block.net.1.weight"), ("vae", "encoder/DownConv_0/kernel")]
)
def test_autoencoders_of_images(objective, name, tmp_path):
    small = replace(gwae_3dshapes.QUICK, **SMALL[gwae_3dshapes])
    model = unions.chosen(small, ["--model.objective", objective]).model
    folder = fresh(gwae_3dshapes, tmp_path / "run", model=model)
    call("export", folder, "--out", tmp_path / "a.npz", "--seed", 1)
    assert name in arrays(tmp_path / "a.npz")
    call("import", folder, "--weights", tmp_path / "a.npz", "--out", tmp_path / "new")
    kept, new = (open_model(tmp_path / n, "last") for n in ("run", "new"))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1], b[0]), kept.state.params, new.state.params)


@pytest.mark.parametrize(
    ("module", "changes"), [(multvae_movielens, {"models": ("vae",)}), (gru4rec_sessions, {})]
)
def test_imported_weights_recommend(module, changes, tmp_path):
    folder = fresh(module, tmp_path / "run", **changes)
    call("export", folder, "--out", tmp_path / "a.npz", "--seed", 1)
    call("import", folder, "--weights", tmp_path / "a.npz", "--out", tmp_path / "new")
    wanted = recommend.open_recommender(folder, "best", 1).scores([[0, 3], [2]])
    found = recommend.open_recommender(tmp_path / "new", "best", None)
    assert list(found.item_ids) == ITEMS and wanted.shape == (2, 5)
    np.testing.assert_array_equal(found.scores([[0, 3], [2]]), wanted)


@pytest.mark.slow
def test_networks_of_several_files(tmp_path, monkeypatch, capsys):
    """The official G and D are two files; the encoder, which none of them holds, starts afresh."""
    folder = fresh(gaugan, tmp_path / "run")
    call("export", folder, "--out", tmp_path / "all.npz", "--seed", 1)
    every = arrays(tmp_path / "all.npz")
    of_d = {name: array for name, array in every.items() if name.startswith("discriminator_")}
    of_g = {name: every[name] for name in set(every) - set(of_d) if not name.startswith(("layer", "fc_"))}
    np.savez(tmp_path / "G.npz", **of_g)
    np.savez(tmp_path / "D.npz", **of_d)
    files = ("--weights", tmp_path / "G.npz", "--weights", tmp_path / "D.npz")
    call("import", folder, *files, "--out", tmp_path / "new")
    assert "afresh: encoder" in capsys.readouterr().err
    call("export", tmp_path / "new", "--out", tmp_path / "again.npz")
    again = arrays(tmp_path / "again.npz")
    assert set(again) == set(every)
    same = {name for name in every if np.array_equal(again[name], every[name])}
    assert same >= set(of_g) | set(of_d)
    assert {"fc_mu.weight", "layer1.weight_orig"} <= set(every) - same
    twice = ("import", folder, *files, "--weights", tmp_path / "D.npz", "--out", tmp_path / "twice")
    said = said_on_failure(weights.main, twice, monkeypatch, capsys)
    assert "D.npz" in said and "discriminator_0" in said
    np.savez(tmp_path / "short.npz", **{name: array for name, array in of_d.items() if "_1" not in name})
    short = ("import", folder, "--weights", tmp_path / "short.npz", "--out", tmp_path / "short")
    assert "discriminator_1" in said_on_failure(weights.main, short, monkeypatch, capsys)


def test_wrong_use_is_one_clear_error(tmp_path, monkeypatch, capsys):
    folder = fresh(multvae_movielens, tmp_path / "run")
    call("export", folder, "--out", tmp_path / "vae.npz", "--model", "vae")
    other = arrays(tmp_path / "vae.npz")
    np.savez(tmp_path / "shape.npz", **other | {"q_layers.1.weight": np.zeros((6, 9))})
    np.savez(tmp_path / "more.npz", **other | {"extra": np.zeros(1)})

    def said(*arguments):
        return said_on_failure(weights.main, arguments, monkeypatch, capsys)

    def importing(file, model="vae"):
        return said(
            "import", folder, "--weights", tmp_path / file, "--out", tmp_path / "new", "--model", model
        )

    shapes = importing("shape.npz")
    assert "'q_layers.1.weight'" in shapes and "(6, 9)" in shapes and "(5, 4)" in shapes
    assert "extra" in importing("more.npz")
    assert "'p_layers.0.bias' has shape (4,), its layer has (5,)" in importing("vae.npz", "dae")
    assert "absent.npz" in importing("absent.npz")
    assert "vae, dae" in said("export", folder, "--out", tmp_path / "a.npz")
    assert "vae, dae" in said("export", folder, "--out", tmp_path / "a.npz", "--model", "m1")
    assert "--seed" in said("export", folder, "--out", tmp_path / "a.npz", "--model", "vae", "--seed", 5)
    assert not (tmp_path / "new").exists()
    same = ("--weights", tmp_path / "vae.npz", "--out", folder, "--model", "vae")
    assert "error: --out" in said("import", folder, *same)
    create_run("mi_gaussian", cli.to_json(mi_gaussian.PRESETS["quick"]), tmp_path / "mi")
    assert "mi_gaussian" in said("export", tmp_path / "mi", "--out", tmp_path / "a.npz")


def test_settings_without_published_names():
    names = names_of(GWAEConfig(batch_norm=True))
    with pytest.raises(ValueError, match=r"--model\.batch-norm"):
        names.export(None)
