"""The update of every system under jit, vmap, pmap, shard_map, and jit on a mesh that is not ours."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from tests.train.steps import test_gru4rec as sessions
from tests.train.steps import test_visual_recommenders as fashion
from train.layout import Layout
from train.steps import (
    cada_vae,
    cada_vae_classifier,
    cdae,
    dip_vae,
    domain_adaptation,
    factor_vae,
    gaugan,
    gaugan_networks,
    gru4rec,
    gwae,
    gwae_networks,
    mi_estimators,
    mixed_gaussians,
    mult_vae,
    mutual_information,
    segmenter,
    vae,
    visual_recommenders,
)
from train.steps import information_bottleneck as ib

SIZE, COPIES = 4, 2
pytestmark = pytest.mark.skipif(jax.device_count() < 8, reason="needs JAX_NUM_CPU_DEVICES=8")


class System(NamedTuple):
    """A system in its smallest settings: `init(key)`, `step(state, batch)` and a batch."""

    init: Callable[[jax.Array], Any]
    step: Callable[[Any, Any], tuple[Any, Any]]
    batch: Any


def floats(*shape):
    return jnp.asarray(np.random.default_rng(0).random(shape), jnp.float32)


def photos(*shape):
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def labels(high, *shape):
    return jnp.asarray(np.random.default_rng(1).integers(0, high, shape, dtype=np.int32))


def of_member(member) -> System:
    """A member of the VAE family."""
    return System(member.init, member.train_step, IMAGES)


def of(module, batch, *settings, init=None, **kwargs) -> System:
    """The system of a module whose `init_state` and `train_step` take the same settings."""
    return System(
        lambda key: module.init_state(key, *(settings if init is None else init)),
        lambda state, batch: module.train_step(state, batch, *settings, **kwargs),
        batch,
    )


LAYOUT = Layout(3, dont_care=False, instances=False, height=32, width=32)
GAUGAN = gaugan_networks.GauGANConfig(width=1, discriminator_width=1, vae=True, encoder_size=8, latent_dim=2)
SEGMENTER = segmenter.SegmenterConfig(widths=(4, 4))
GWAE = gwae_networks.GWAEConfig(latent_dim=2, critic_steps=1, prior="gaussian-mixture")
CADA = cada_vae.CADAVAEConfig(latent_dim=2, image_hidden=(4, 4), side_hidden=(4, 4))
CLASSIFIER = cada_vae_classifier.ClassifierConfig()
MULT = mult_vae.MultVAEConfig(latent_dim=3, hidden=(5,))
CDAE = cdae.CDAEConfig(latent_dim=3)
VISUAL = visual_recommenders.VisualConfig(factors=4, visual_factors=2)
SIZES = visual_recommenders.Sizes(users=7, items=12, features=9, categories=3)
DOMAINS = domain_adaptation.AdaptationConfig(channels=(2, 3), convolutions=1, domain_hidden=4)
BOTTLENECK = ib.BottleneckConfig(latent_dim=2, hidden=(4,), q_hidden=(4,))
MIXING = mixed_gaussians.MixingConfig(batch_size=SIZE, q_steps=1)
CLUB = mi_estimators.club_study(mi_estimators.CLUBStudy(hidden_size=4, wide_hidden_size=4))
POOLE = mi_estimators.poole_study(mi_estimators.PooleStudy(hidden=(4,), embedding=2, baseline=(4,)))
ESTIMATORS = {
    **{f"club/{name}": CLUB[name] for name in ("MINE", "CLUBSample")},
    **{f"poole/{name}": POOLE[name] for name in ("I_0.50", "SMILE", "TNCE")},
}

IMAGES = {"image": photos(SIZE, 64, 64, 3)}
PAIRS = {"label": labels(3, SIZE, 32, 32), "image": photos(SIZE, 32, 32, 3)}
MODALITIES = {"image": 6, "attributes": 5}
FEATURES = {name: floats(SIZE, size) for name, size in MODALITIES.items()}
CLICKS = {"x": floats(SIZE, 12).round(), "user": jnp.arange(SIZE)}
DIGITS = {"image": floats(SIZE, 4, 4, 3), "label": labels(10, SIZE)}
XY = {
    "x": floats(SIZE, 3),
    "y": floats(SIZE, 3),
    "rho": jnp.float32(0.5),
    "mutual_information": jnp.float32(1),
}
SESSIONS = (sessions.CONFIG, sessions.DROPPED)
SYSTEMS = {
    "gwae": of(gwae, IMAGES, GWAE),
    "vae": of_member(vae.member(vae.VAEConfig(latent_dim=2, batch_norm=True))),
    "factor_vae": of_member(factor_vae.member(factor_vae.FactorVAEConfig(latent_dim=2))),
    "dip_vae": of_member(dip_vae.member(dip_vae.DIPVAEConfig(latent_dim=2, covariance="codes"))),
    "cada_vae": of(cada_vae, FEATURES, CADA, MODALITIES, 10, init=(CADA, MODALITIES)),
    "cada_vae classifier": System(
        lambda key: cada_vae_classifier.init_classifier(key, 3, 5, CLASSIFIER),
        lambda state, batch: cada_vae_classifier.classifier_step(state, batch, CLASSIFIER),
        {"z": floats(SIZE, 3), "label": labels(5, SIZE)},
    ),
    "mult_vae": of(mult_vae, CLICKS, MULT, 12),
    "mult_dae": of(mult_vae, CLICKS, replace(MULT, kind="dae"), 12),
    "cdae": of(cdae, CLICKS, CDAE, init=(CDAE, SIZE, 12)),
    "gru4rec": of(
        gru4rec, sessions.make_batch(), *SESSIONS, init=(*SESSIONS, sessions.ITEMS, sessions.SLOTS)
    ),
    **{
        kind: of(visual_recommenders, fashion.make_batch(size=SIZE), replace(VISUAL, kind=kind), SIZES)
        for kind in fashion.KINDS
    },
    "gaugan": of(gaugan, PAIRS, GAUGAN, LAYOUT, 10, init=(GAUGAN, LAYOUT)),
    "segmenter": of(segmenter, PAIRS, SEGMENTER, init=(SEGMENTER, 3)),
    **{name: of(mutual_information, XY, one, init=(one, 3)) for name, one in ESTIMATORS.items()},
    **{
        f"bottleneck/{penalty}": of(ib, DIGITS, BOTTLENECK, penalty, 10, init=(BOTTLENECK, penalty, 48))
        for penalty in ("vub", "vclub-sampled")
    },
    "domains/club-sampled": of(
        domain_adaptation,
        {"source": DIGITS, "target": DIGITS},
        DOMAINS,
        "club-sampled",
        init=(DOMAINS, (4, 4, 3)),
    ),
    "mixed_gaussians": of(mixed_gaussians, floats(SIZE, 2, 2, 2), MIXING, "club-sampled", init=(MIXING,)),
}
RUN = ("mult_vae", "cdae", "mixed_gaussians")
"""Those that compile in a moment: their values are compared; of the others the traces."""
DEAR = ("gaugan", "gwae", "vae", "factor_vae", "dip_vae", "domains/club-sampled")
"""Those that take seconds to trace; training itself runs them under vmap."""
MESHES = {
    "batch, explicit": ("batch", AxisType.Explicit),
    "data, explicit": ("data", AxisType.Explicit),
    "batch, auto": ("batch", AxisType.Auto),
    "data, auto": ("data", AxisType.Auto),
    "items, auto": ("items", AxisType.Auto),
}


def mesh_of(name):
    axis, kind = MESHES[name]
    return jax.make_mesh((COPIES,), (axis,), axis_types=(kind,))


def states(system):
    """States of several seeds, stacked."""
    return jax.vmap(system.init)(jax.random.split(jax.random.key(0), COPIES))


def copies(tree):
    return jax.tree.map(lambda a: jnp.stack([a] * COPIES), tree)


def shapes(system):
    return jax.eval_shape(functools.partial(states, system)), jax.eval_shape(copies, system.batch)


def one(tree):
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), tree)


def on(mesh_name, batch):
    """A batch on a mesh; its rows are divided along an axis whose divisions are part of types."""
    axis, kind = MESHES[mesh_name]
    if kind != AxisType.Explicit:
        return batch

    def divided(a):
        rows = PartitionSpec(axis) if a.ndim and a.shape[0] % COPIES == 0 else PartitionSpec()
        place = NamedSharding(mesh_of(mesh_name), rows)
        if isinstance(a, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place)
        return jax.device_put(a, place)

    return jax.tree.map(divided, batch)


def sharded(step, axis):
    """`step` on one of several states in each part of a shard_map."""

    def part(state, batch):
        first = functools.partial(jax.tree.map, lambda a: a[0])
        return jax.tree.map(lambda a: a[None], step(first(state), first(batch)))

    spec = PartitionSpec(axis)
    return jax.shard_map(part, mesh=mesh_of(f"{axis}, auto"), in_specs=spec, out_specs=spec, check_vma=False)


@pytest.mark.parametrize("name", SYSTEMS)
def test_traces(name):
    """The result has the state's shapes under every transformation and on every mesh."""
    system, dear = SYSTEMS[name], name in DEAR
    state, batch = shapes(system)
    ways = {"pmap": jax.pmap(system.step)}
    if not dear:
        ways |= {"vmap": jax.vmap(system.step)}
        ways |= {f"shard_map over {axis}": sharded(system.step, axis) for axis in ("batch", "data", "items")}
    for way, transformed in ways.items():
        after, _ = jax.eval_shape(transformed, state, batch)
        chex.assert_trees_all_equal_shapes_and_dtypes(after, state, custom_message=way)
    for mesh in list(MESHES)[: 1 if dear else None]:
        with jax.set_mesh(mesh_of(mesh)):
            after, _ = jax.eval_shape(jax.jit(system.step), one(state), on(mesh, one(batch)))
        chex.assert_trees_all_equal_shapes_and_dtypes(after, one(state), custom_message=mesh)


@pytest.mark.parametrize("name", RUN)
def test_values(name):
    """Every way to run it makes the update of jit without a mesh."""
    system = SYSTEMS[name]
    state, batch = jax.jit(functools.partial(states, system))(), copies(system.batch)
    first = jax.tree.map(lambda a: a[0], state.replace(key=jax.random.clone(state.key)))
    expected, metrics = jax.jit(system.step)(first, system.batch)
    ways = {"vmap": jax.jit(jax.vmap(system.step)), "pmap": jax.pmap(system.step)}
    ways |= {"shard_map": jax.jit(sharded(system.step, "data"))}
    got = {way: jax.tree.map(lambda a: a[0], run(*fresh(state, batch))) for way, run in ways.items()}
    for mesh in MESHES:
        with jax.set_mesh(mesh_of(mesh)):
            got[mesh] = jax.jit(system.step)(*fresh(first, on(mesh, system.batch)))
    for after, found in got.values():
        chex.assert_trees_all_close(found, metrics, rtol=1e-4, atol=1e-6)
        chex.assert_trees_all_close(after.params, expected.params, rtol=1e-4, atol=1e-6)


def fresh(state, batch):
    """For one more use of the state's key."""
    return state.replace(key=jax.random.clone(state.key)), batch
