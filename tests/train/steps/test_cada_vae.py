"""The CADA-VAE step against the official step: terms, schedules, gradients, and 20 updates with its noise.

`cada_small` was made by the official modules on networks of a few units. Further tests: more than two modalities,
noise that does not depend on the order in which a tree keeps its keys, seeds, devices, settings, and learning.
"""

import functools
import itertools
from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxmodels.cada_vae import reparameterise
from jaxmodels.torch_import.cada_vae import export_state_dict, import_state_dict
from objectives.alignment import wasserstein_gaussian
from objectives.elbo import absolute_error, kl_standard_normal
from train.bounds import check_bounds
from train.devices import data_mesh, replicated, split, use_mesh
from train.errors import UserError
from train.seeds import seed_keys
from train.steps import cada_vae
from train.steps.cada_vae import CADAVAEConfig, Ramp

SIZES = {"image": 24, "attributes": 10}
CONFIG = CADAVAEConfig(latent_dim=6, image_hidden=(20, 18), side_hidden=(16, 12), learning_rate=0.01)
TERMS = {
    "reconstruction": ("rec_img", "rec_att"),
    "cross_alignment": ("xrec_img_from_att", "xrec_att_from_img"),
    "kl": ("kl_img", "kl_att"),
    "distribution_alignment": ("w2",),
}
SCHEDULE = {
    0: (0, 0, 0),
    6: (0.25 * 6 / 93, 0, 0),
    14: (0.037634, 0, 4.065),
    21: (0.25 * 21 / 93, 0, 7.621875),
    22: (0.059140, 0.043889, 8.13),
    48: (0.129032, 1.185, 8.13),
    75: (0.25 * 75 / 93, 2.37, 8.13),
    93: (0.25, 2.37, 8.13),
    99: (0.25, 2.37, 8.13),
}


@functools.cache
def golden(shared):
    with np.load(shared / "parity" / "cada_small.npz", allow_pickle=False) as archive:
        return dict(archive)


def official_state(golden):
    """Our state with the official weights."""
    state = make_state()
    return state.replace(params=import_state_dict(part(golden, "w/"), state.params))


def make_state(config=CONFIG, sizes=SIZES, seed=0):
    """A state with random parameters, without the time that compiling `init_state` takes."""
    abstract = jax.eval_shape(lambda: cada_vae.init_state(jax.random.key(0), config, sizes))
    rng = np.random.default_rng(seed)

    def fill(leaf):
        return jnp.asarray(0.2 * rng.standard_normal(leaf.shape), leaf.dtype)

    return abstract.replace(
        step=jnp.zeros((), jnp.int32),
        params=jax.tree.map(fill, abstract.params),
        optimiser=jax.tree.map(jnp.zeros_like, abstract.optimiser),
        key=jax.random.key(seed),
    )


def part(golden, prefix):
    return {key.removeprefix(prefix): a for key, a in golden.items() if key.startswith(prefix)}


def batch_and_noise(golden, step):
    batch = {"image": golden["x"][step], "attributes": golden["a"][step]}
    noise = {"image": golden["eps_img"][step], "attributes": golden["eps_att"][step]}
    return jax.tree.map(jnp.asarray, (batch, noise))


def official_loss(params, golden, epoch):
    """Our loss on the first official batch."""
    weights = cada_vae.weights_at(epoch, CONFIG)
    return cada_vae.loss(params, *batch_and_noise(golden, 0), weights, CONFIG, SIZES)


def test_posteriors_and_latents(shared):
    gold = golden(shared)
    state = official_state(gold)
    batch, noise = batch_and_noise(gold, 0)
    for modality, name in (("image", "img"), ("attributes", "att")):
        mu, logvar = cada_vae.encode(state.params, CONFIG, modality, batch[modality])
        z = reparameterise(mu, logvar, noise[modality], "official")
        for ours, theirs in ((mu, "mu"), (logvar, "logvar"), (z, "z")):
            np.testing.assert_allclose(ours, gold[f"out/{theirs}_{name}"], rtol=1e-5, atol=1e-6)


def test_terms_and_totals_of_every_epoch(shared):
    """At rtol 1e-5; the official total is the scalar that its step returns."""
    gold = golden(shared)
    state = official_state(gold)
    loss = jax.jit(functools.partial(official_loss, golden=gold))
    for epoch, weights, total in zip(
        gold["sched/epoch"], gold["sched/beta_cross_dist"], gold["sched/total_official"], strict=True
    ):
        ours, metrics = loss(state.params, epoch=int(epoch))
        np.testing.assert_allclose(ours, total, rtol=1e-5)
        np.testing.assert_allclose(
            [metrics[w] for w in ("beta", "gamma", "delta")], weights, rtol=1e-6, atol=1e-9
        )
        for term, names in TERMS.items():
            expected = sum(gold[f"loss/{name}"] for name in names)
            np.testing.assert_allclose(metrics[term], expected, rtol=1e-5, err_msg=term)


def test_gradients(shared):
    """At rtol 1e-4, and 1e-5 for entries near zero."""
    gold = golden(shared)
    state = official_state(gold)
    gradient_at = jax.jit(jax.grad(functools.partial(official_loss, golden=gold), has_aux=True))
    for epoch in (0, 14, 50):
        gradient, _ = gradient_at(state.params, epoch=epoch)
        ours, official = export_state_dict(gradient), part(gold, f"grad{epoch}/")
        assert ours.keys() == official.keys()
        for name, array in official.items():
            np.testing.assert_allclose(ours[name], array, rtol=1e-4, atol=1e-5, err_msg=f"{epoch} {name}")


def test_twenty_updates(shared):
    """Parameters after 1, 2, 5 and 20 updates at 1e-5, the loss in front of each, and the first gradient's norm."""
    gold = golden(shared)
    state = official_state(gold)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def update(state, batch, noise, epoch):
        return cada_vae.update(state, batch, noise, epoch, CONFIG, SIZES)

    first_gradient = np.concatenate([np.float64(a).reshape(-1) for a in part(gold, "grad0/").values()])
    compared = 0
    for step, (epoch, loss) in enumerate(zip(gold["traj/epoch"], gold["traj/loss"], strict=True)):
        state, metrics = update(state, *batch_and_noise(gold, step), jnp.asarray(epoch, jnp.int32))
        np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
        if step == 0:
            np.testing.assert_allclose(metrics["gradient_norm"], np.linalg.norm(first_gradient), rtol=1e-5)
        ours = export_state_dict(state.params)
        for name, array in part(gold, f"after{step + 1}/").items():
            np.testing.assert_allclose(ours[name], array, atol=1e-5, rtol=0, err_msg=f"{step + 1} {name}")
            compared += 1
    assert compared == 4 * 20 and state.step == 20


# The weights.


@pytest.mark.parametrize("epoch", SCHEDULE)
def test_schedule(epoch):
    expected = SCHEDULE[epoch]
    np.testing.assert_allclose(cada_vae.weights_at(epoch, CONFIG), expected, rtol=2e-5, atol=1e-9)
    traced = jax.jit(lambda e: cada_vae.weights_at(e, CONFIG))(jnp.asarray(epoch))
    np.testing.assert_allclose(traced, expected, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("field", "weight", "term"),
    [
        ("cross_alignment", "gamma", "cross_alignment"),
        ("distribution_alignment", "delta", "distribution_alignment"),
        ("kl", "beta", "kl"),
    ],
)
def test_a_factor_of_zero_leaves_the_term_out(field, weight, term):
    config = replace(CONFIG, **{field: replace(getattr(CONFIG, field), factor=0.0)})
    state = make_state()
    noise = cada_vae.draw_noise(jax.random.key(1), 8, CONFIG, SIZES)

    @jax.jit
    def terms(weights):
        return cada_vae.loss(state.params, make_batch(SIZES), noise, weights, CONFIG, SIZES)[1]

    whole, without = (terms(cada_vae.weights_at(99, c)) for c in (CONFIG, config))
    assert without[weight] == 0
    np.testing.assert_allclose(without["loss"], whole["loss"] - whole[weight] * whole[term], rtol=1e-5)


# Any number of modalities.


def make_batch(sizes, size=8, seed=0):
    rng = np.random.default_rng(seed)
    return {modality: jnp.asarray(rng.random((size, d), np.float32)) for modality, d in sizes.items()}


@pytest.mark.parametrize(("count", "pairs"), [(2, "unordered"), (3, "ordered"), (4, "unordered")])
def test_loss_is_a_sum_over_modalities_and_over_pairs(count, pairs):
    sizes = dict(itertools.islice({"image": 7, "words": 5, "attributes": 4, "sentences": 6}.items(), count))
    config = replace(CONFIG, distribution_pairs=pairs)
    params, batch = make_state(config, sizes).params, make_batch(sizes)
    noise = cada_vae.draw_noise(jax.random.key(1), 8, config, sizes)
    weights = cada_vae.weights_at(50, config)

    @jax.jit
    def by_pairs(params, batch, noise):
        posterior = {m: cada_vae.encode(params, config, m, batch[m]) for m in sizes}
        z = {m: mu + jnp.exp(logvar) * noise[m] for m, (mu, logvar) in posterior.items()}

        def error(i, j):
            return absolute_error(batch[j], cada_vae.decode(params, config, j, sizes[j], z[i])).sum()

        ordered = list(itertools.permutations(sizes, 2))
        chosen = ordered if pairs == "ordered" else list(itertools.combinations(sizes, 2))
        return {
            "reconstruction": sum(error(m, m) for m in sizes),
            "kl": sum(kl_standard_normal(*posterior[m]).sum() for m in sizes),
            "cross_alignment": sum(error(i, j) for i, j in ordered),
            "distribution_alignment": sum(
                wasserstein_gaussian(*posterior[i], *posterior[j]).sum() for i, j in chosen
            ),
        }

    expected = by_pairs(params, batch, noise)
    total, metrics = jax.jit(lambda *a: cada_vae.loss(*a, weights, config, sizes))(params, batch, noise)
    for term, value in expected.items():
        np.testing.assert_allclose(metrics[term], value, rtol=1e-5, err_msg=term)
    weighted = {"kl": weights.beta, "cross_alignment": weights.gamma, "distribution_alignment": weights.delta}
    by_hand = expected["reconstruction"] + sum(w * expected[term] for term, w in weighted.items())
    np.testing.assert_allclose(total, by_hand, rtol=1e-5)


def test_noise_follows_the_order_of_the_sizes():
    """Not the alphabetical one in which jax keeps a tree."""
    sizes = {"image": 24, "attributes": 10, "words": 3}
    noise = cada_vae.draw_noise(jax.random.key(0), 8, CONFIG, sizes)
    assert list(noise) == list(sizes)
    jitted = jax.jit(lambda key: cada_vae.draw_noise(key, 8, CONFIG, sizes))(jax.random.key(0))
    for modality in sizes:
        np.testing.assert_allclose(jitted[modality], noise[modality], rtol=1e-6)
        assert noise[modality].shape == (8, 1)
    first = jax.random.normal(jax.random.key(0), (3, 8, 1))[0]
    np.testing.assert_allclose(noise["image"], first, rtol=1e-6)
    standard = cada_vae.draw_noise(jax.random.key(0), 8, replace(CONFIG, noise="standard"), sizes)
    assert {a.shape for a in standard.values()} == {(8, 6)}


@pytest.mark.parametrize("noise", ["official", "standard"])
def test_sampled_latents(noise):
    config = replace(CONFIG, noise=noise)
    params = make_state(config).params
    x = np.repeat(make_batch(SIZES)["attributes"][:1], 4000, axis=0)
    mu, logvar = cada_vae.encode(params, config, "attributes", x[:1])
    z = cada_vae.sample_latents(params, config, "attributes", x, jax.random.key(1))
    scale = jnp.exp(logvar if noise == "official" else logvar / 2)
    eps = np.asarray((z - mu) / scale)
    np.testing.assert_allclose([eps.mean(), eps.std()], [0, 1], atol=0.05)
    shared_by_dimensions = np.corrcoef(eps.T)[0, 1]
    np.testing.assert_allclose(shared_by_dimensions, noise == "official", atol=0.05)


# Settings.


def test_two_hidden_encoder_layers():
    config = replace(CONFIG, image_hidden=(20, 9, 18))
    check_bounds(config)
    state = jax.eval_shape(lambda: cada_vae.init_state(jax.random.key(0), config, SIZES))
    kernels = {name: layer["kernel"].shape for name, layer in state.params["image"]["encoder"].items()}
    assert kernels == {"hidden_0": (24, 20), "hidden_1": (20, 9), "mu": (9, 6), "logvar": (9, 6)}
    assert state.params["image"]["decoder"]["hidden_0"]["kernel"].shape == (6, 18)
    after, _ = jax.eval_shape(lambda s: cada_vae.train_step(s, make_batch(SIZES), config, SIZES, 10), state)
    chex.assert_trees_all_equal_shapes_and_dtypes(after, state)


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"image_hidden": (5,)}, "--model.image-hidden"),
        ({"side_hidden": (5, 4, 3, 2)}, "--model.side-hidden"),
        ({"side_hidden": (5, 0)}, "--model.side-hidden"),
        ({"kl": Ramp(start=3, end=3, factor=1.0)}, "--model.kl.end"),
        ({"cross_alignment": Ramp(start=0, end=3, factor=-1.0)}, "--model.cross-alignment.factor"),
    ],
)
def test_wrong_settings(change, flag):
    cada_vae.check(CADAVAEConfig())
    with pytest.raises(UserError) as error:
        check_bounds(replace(CONFIG, **change), "--model.")
        cada_vae.check(replace(CONFIG, **change))
    assert error.value.field == flag


@pytest.mark.parametrize("noise", ["official", "standard"])
def test_squared_errors(noise):
    """l2 is the sum of squares, without a half."""
    config = replace(CONFIG, reconstruction="l2", noise=noise)
    params, batch = make_state(config).params, make_batch(SIZES)
    draws = cada_vae.draw_noise(jax.random.key(1), 8, config, SIZES)

    @jax.jit
    def reconstructions(params, batch, draws):
        metrics = cada_vae.loss(params, batch, draws, cada_vae.weights_at(0, config), config, SIZES)[1]
        out = {}
        for m, size in SIZES.items():
            z = reparameterise(*cada_vae.encode(params, config, m, batch[m]), draws[m], noise)
            out[m] = cada_vae.decode(params, config, m, size, z)
        return metrics["reconstruction"], out

    ours, decoded = reconstructions(params, batch, draws)
    expected = sum(np.sum((np.float64(decoded[m]) - batch[m]) ** 2) for m in SIZES)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_number_of_parameters_of_the_official_networks():
    """7,316,139 on AWA2; 998,511 on features of 128 and attributes of 22."""
    for sizes, count in (
        ({"image": 2048, "attributes": 85}, 7_316_139),
        ({"image": 128, "attributes": 22}, 998_511),
    ):
        state = jax.eval_shape(lambda s=sizes: cada_vae.init_state(jax.random.key(0), CADAVAEConfig(), s))
        assert sum(leaf.size for leaf in jax.tree.leaves(state.params)) == count


def test_official_networks_on_awa2_from_the_recipe():
    """Weights regenerated in the official order of layers: the loss is finite, an update keeps every shape."""
    sizes, config = {"image": 2048, "attributes": 85}, CADAVAEConfig()
    state = jax.eval_shape(lambda: cada_vae.init_state(jax.random.key(0), config, sizes))
    shapes = {name: a.shape for name, a in export_state_dict(zeros(state.params)).items()}
    rng, layers = np.random.RandomState(11), ("enc/h", "enc/mu", "enc/logvar", "dec/h", "dec/out")
    weights = {}
    for prefix, layer, kind in itertools.product(("img", "att"), layers, ("weight", "bias")):
        name = f"{prefix}_{layer}.{kind}"
        weights[name] = recipe(rng, shapes[name])
    assert sum(a.size for a in weights.values()) == 7_316_139
    params = import_state_dict(weights, state.params)
    batch, noise = make_batch(sizes, 50), cada_vae.draw_noise(jax.random.key(0), 50, config, sizes)
    loss = jax.jit(lambda p: cada_vae.loss(p, batch, noise, cada_vae.weights_at(50, config), config, sizes))
    total, metrics = loss(params)
    chex.assert_tree_all_finite((total, metrics))
    after, _ = jax.eval_shape(lambda s: cada_vae.update(s, batch, noise, 50, config, sizes), state)
    chex.assert_trees_all_equal_shapes_and_dtypes(after, state)


def zeros(tree):
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree)


def recipe(rng, shape):
    """Of the reference numbers: U(-b, b) with b = 0.5 sqrt(6 / (in + out)) for weights, zeros for biases."""
    if len(shape) == 1:
        return np.zeros(shape, np.float32)
    bound = 0.5 * np.sqrt(6 / sum(shape))
    return rng.uniform(-bound, bound, size=shape).astype(np.float32)


# Runs.


@jax.jit
@chex.assert_max_traces(n=1)
def step_of_one_seed(state, batch):
    return cada_vae.train_step(state, batch, CONFIG, SIZES, 5)


def test_step_is_pure_and_traced_once():
    state, batch = make_state(), make_batch(SIZES)
    first, metrics = step_of_one_seed(state, batch)
    again, _ = step_of_one_seed(state, batch)
    chex.assert_trees_all_equal(first.params, again.params)
    assert first.step == 1
    assert {"loss", "gradient_norm", "beta", "gamma", "delta", *TERMS} == set(metrics)
    _, metrics = step_of_one_seed(first.replace(step=jnp.asarray(22 * 5 + 4, jnp.int32)), batch)
    np.testing.assert_allclose([metrics[w] for w in ("beta", "gamma", "delta")], SCHEDULE[22], rtol=2e-5)


def test_seeds_in_one_program_are_the_seeds_one_after_another():
    """In epoch 30, where every term counts."""
    start, batch = make_state().replace(step=jnp.asarray(150, jnp.int32)), make_batch(SIZES)

    def step(key):
        return cada_vae.train_step(start.replace(key=key), batch, CONFIG, SIZES, 5)

    many, metrics = jax.device_get(jax.jit(jax.vmap(step))(seed_keys(0, 3)))
    assert len(set(metrics["loss"])) == 3
    for i in range(3):
        alone, one = step_of_one_seed(start.replace(key=jax.random.key(i)), batch)
        np.testing.assert_allclose(metrics["loss"][i], one["loss"], rtol=1e-5)
        for path, array in flatten_dict(alone.params).items():
            ours = flatten_dict(many.params)[path][i]
            np.testing.assert_allclose(ours, array, atol=1e-5, rtol=0, err_msg=str(path))


def test_eight_devices_give_the_losses_of_one():
    if jax.device_count() < 8:
        pytest.skip("needs JAX_NUM_CPU_DEVICES=8")
    mesh, state = data_mesh(), make_state()
    with use_mesh(mesh):
        on_eight = jax.device_put(state, replicated(mesh))
        step = jax.jit(
            lambda s, b: cada_vae.train_step(s, b, CONFIG, SIZES, 5), out_shardings=replicated(mesh)
        )
        many = []
        for seed in range(3):
            batch = jax.device_put(make_batch(SIZES, seed=seed), split(mesh))
            on_eight, metrics = step(on_eight, batch)
            many.append(metrics)
    for seed, metrics in enumerate(many):
        state, one = step_of_one_seed(state, make_batch(SIZES, seed=seed))
        for name in ("loss", *TERMS, "gradient_norm"):
            np.testing.assert_allclose(metrics[name], one[name], rtol=1e-5, err_msg=name)


def test_it_learns_to_align():
    """Attributes decide the image: with all weights at their full values, every code decodes to it."""
    rng = np.random.default_rng(0)
    table = rng.random((8, 10), dtype=np.float32)
    images = np.tanh(table @ rng.standard_normal((10, 24), dtype=np.float32))
    batch = {"image": jnp.asarray(images), "attributes": jnp.asarray(table)}
    state, history = make_state().replace(step=jnp.asarray(500, jnp.int32)), []
    for _ in range(400):
        state, metrics = step_of_one_seed(state, batch)
        history.append(metrics)
    for term in ("reconstruction", "cross_alignment", "distribution_alignment"):
        assert history[-1][term] < 0.5 * history[0][term], term
