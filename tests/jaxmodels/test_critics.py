"""Critics pair by pair, against the published goldens, and in the memory that their form allows."""

import math

import chex
import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxmodels.critics import MLP, Bilinear, Concatenated, ConditionalGaussian, LogBaseline, Separable
from objectives.mutual_information import lower, upper
from objectives.mutual_information.conditional import (
    categorical_scores,
    gaussian_learning_loss,
    gaussian_scores,
)
from objectives.mutual_information.rows import ScoreBlocks

SIZE = 8
RNG = np.random.default_rng(0)
X, Y = (jnp.asarray(RNG.standard_normal((SIZE, dimensions)), jnp.float32) for dimensions in (3, 4))
CRITICS = {
    "separable": Separable(hidden=(6, 5), embedding=2),
    "bilinear": Bilinear(),
    "concatenated": Concatenated(hidden=(6, 5)),
    "concatenated, one hidden layer": Concatenated(hidden=(6,), initialisation="torch"),
    "concatenated in blocks": Concatenated(hidden=(6, 5), block=2),
}
two_critics = pytest.mark.parametrize("name", ["separable", "concatenated in blocks"])


def initial(module, *inputs):
    return jax.jit(module.init)(jax.random.key(0), *inputs)


@pytest.fixture(scope="module")
def goldens(shared):
    with np.load(shared / "parity" / "mi_goldens.npz", allow_pickle=False) as arrays:
        return dict(arrays)


class Scores(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_rows_are_y_and_columns_are_x(self):
        """Pair by pair, through `paired` on repeated rows."""
        for name, critic in CRITICS.items():
            params = initial(critic, X, Y)
            scores = self.variant(critic.apply)(params, X, Y)
            chex.assert_shape(scores, (SIZE, SIZE))
            u, v = critic.apply(params, X, jnp.broadcast_to(Y[3:4], Y.shape), method="encode")
            row = critic.apply(params, u, v, method="paired")
            np.testing.assert_allclose(scores[3], row, rtol=1e-5, atol=1e-6, err_msg=name)

    @chex.variants(with_jit=True, without_jit=True)
    def test_vmap_over_seeds(self):
        for critic in (CRITICS["separable"], CRITICS["concatenated in blocks"]):
            keys = jax.random.split(jax.random.key(5), 2)
            params = jax.jit(jax.vmap(lambda key, c=critic: c.init(key, X, Y)))(keys)
            stacked = self.variant(jax.vmap(critic.apply, (0, None, None)))(params, X, Y)
            one = jax.jit(critic.apply)(jax.tree.map(lambda a: a[1], params), X, Y)
            np.testing.assert_allclose(stacked[1], one, rtol=1e-5, atol=1e-6)


def test_concatenation_is_a_network_of_the_pair():
    """x first: the split first layer is that of [x, y]."""
    critic = CRITICS["concatenated"]
    params = initial(critic, X, Y)
    first, rest = params["params"]["first"], params["params"]["rest"]
    plain = {"layer_0": first, "layer_1": rest["layer_0"], "layer_2": rest["layer_1"]}
    pairs = jnp.concatenate([jnp.tile(X, (SIZE, 1)), jnp.repeat(Y, SIZE, axis=0)], axis=-1)
    network = MLP((6, 5, 1)).apply({"params": plain}, pairs).reshape(SIZE, SIZE)
    np.testing.assert_allclose(critic.apply(params, X, Y), network, rtol=1e-5, atol=1e-6)


def test_bilinear_form():
    critic = Bilinear()
    params = initial(critic, X, Y)
    expected = np.einsum("ia,ab,jb->ji", X, params["params"]["kernel"], Y)
    np.testing.assert_allclose(critic.apply(params, X, Y), expected, rtol=1e-5, atol=1e-6)


def test_blocks_of_the_concatenated_critic():
    """One set of parameters, the scores and gradients of all rows at once; the block divides the rows."""
    whole, blocks = CRITICS["concatenated"], CRITICS["concatenated in blocks"]
    params = initial(whole, X, Y)
    chex.assert_trees_all_equal_shapes_and_dtypes(params, initial(blocks, X, Y))

    def loss(critic):
        return jax.jit(jax.value_and_grad(lambda *args: lower.infonce(critic.apply(*args)), (0, 1, 2)))

    chex.assert_trees_all_close(loss(blocks)(params, X, Y), loss(whole)(params, X, Y), rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match="block 3 does not divide the 8 rows"):
        Concatenated(hidden=(6, 5), block=3).apply(params, X, Y)


@two_critics
def test_scores_in_blocks_reach_the_parameters(name):
    critic = CRITICS[name]
    params = initial(critic, X, Y)

    def loss(params, block):
        u, v = critic.apply(params, X, Y, method="encode")
        if not block:
            return lower.infonce(critic.apply(params, u, v, method="score"))
        return lower.infonce(ScoreBlocks(lambda u, v: critic.apply(params, u, v, method="score"), u, v, 4))

    whole, blocks = (jax.jit(jax.value_and_grad(lambda p, b=b: loss(p, b)))(params) for b in (False, True))
    chex.assert_trees_all_close(blocks, whole, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("critic", "limit"),
    [(Separable(), 8), (Bilinear(), 8), (Concatenated(block=8), 8 + 4 * 256 * 8 / 1024)],
    ids=["separable", "bilinear", "concatenated"],
)
def test_no_tensor_of_all_pairs_and_features(critic, limit):
    """The gradient for 1,024 pairs at published sizes in a few K^2; K^2 times the width would be 256."""
    shape = jax.ShapeDtypeStruct((1024, 20), jnp.float32)
    params = jax.eval_shape(critic.init, jax.random.key(0), shape, shape)
    gradient = jax.jit(jax.grad(lambda *args: lower.infonce(critic.apply(*args)), (0, 1, 2)))
    memory = gradient.lower(params, shape, shape).compile().memory_analysis().temp_size_in_bytes
    assert memory < limit * 4 * 1024**2


@two_critics
def test_bfloat16_networks_give_float32_scores(name):
    critic = CRITICS[name].clone(dtype=jnp.bfloat16)
    params = initial(critic, X, Y)
    assert jax.eval_shape(critic.apply, params, X, Y).dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}


def test_initial_parameters():
    """Keras: Glorot-uniform kernels over the whole concatenation, zero biases. Torch: both uniform by fan-in."""
    x = jnp.zeros((1, 100))
    keras = initial(Concatenated(hidden=(300,)), x, x)["params"]
    assert not np.any(keras["first"]["bias"])
    bound = math.sqrt(6 / (200 + 300))
    assert 0.99 * bound < np.abs(keras["first"]["kernel"]).max() <= bound
    torch = initial(Concatenated(hidden=(300,), initialisation="torch"), x, x)["params"]
    for leaf in jax.tree.leaves(torch["first"]):
        assert 0.95 * 200**-0.5 < np.abs(leaf).max() <= 200**-0.5
    with pytest.raises(ValueError, match="initialisation 'he' is unknown"):
        initial(MLP((3,), "he"), x)


def test_baseline_and_conditional_shapes():
    """log a(y) may be negative; the log-variance stays inside its bound, or is raw."""
    values, _ = jax.jit(LogBaseline().init_with_output)(jax.random.key(0), 5 * Y)
    chex.assert_shape(values, (SIZE,))
    assert values.min() < 0
    far = 1e3 * X
    for bound in (2.0, None):
        (mu, logvar), params = jax.jit(ConditionalGaussian(4, bound=bound).init_with_output)(
            jax.random.key(3), far
        )
        chex.assert_shape((mu, logvar), (SIZE, 4))
        assert np.abs(logvar).max() > (1.9 if bound is None else 0.9 * bound)
        assert bound is None or np.abs(logvar).max() <= bound
        assert params["params"]["mu"]["layer_0"]["kernel"].shape == (3, 7)
    (mu, _), params = jax.jit(ConditionalGaussian(4, hidden=()).init_with_output)(jax.random.key(4), X)
    layer = params["params"]["mu"]["layer_0"]
    np.testing.assert_allclose(mu, X @ layer["kernel"] + layer["bias"][None], rtol=1e-5, atol=1e-6)


def linear(goldens, prefix):
    return {
        "kernel": jnp.asarray(goldens[f"{prefix}.weight"].T),
        "bias": jnp.asarray(goldens[f"{prefix}.bias"]),
    }


def tree_of(goldens, name, kind):
    """Parameters or gradients of an estimator of CLUB's code in our layout; torch layers 0 and 2 are linear."""
    prefix = f"club/{name}/{kind}/"
    nets = sorted({key.removeprefix(prefix).rsplit(".", 1)[0] for key in goldens if key.startswith(prefix)})
    layers = {net: linear(goldens, prefix + net) for net in nets}
    if name in ("MINE", "NWJ", "InfoNCE"):
        net = nets[0].split(".")[0]
        return {"first": layers[f"{net}.0"], "rest": {"layer_0": layers[f"{net}.2"]}}
    if "p_logvar.0" in layers:
        return {
            ours: {f"layer_{i}": layers[f"p_{ours}.{2 * i}"] for i in range(2)} for ours in ("mu", "logvar")
        }
    return {f"layer_{i}": layers[net] for i, net in enumerate(nets)}


def club_estimate_and_loss(name, goldens, dtype):
    """The estimator's network, its estimate and its published learning loss as functions of the parameters."""
    x, y = (jnp.asarray(goldens[f"club/{key}"], dtype) for key in ("x", "y"))
    labels = jnp.asarray(goldens["club/labels"])
    index = goldens.get(f"club/{name}/index")
    critic = Concatenated(hidden=(12,), initialisation="torch", dtype=dtype)
    gaussian = ConditionalGaussian(3, hidden=(6,), dtype=dtype)
    widths = (12,) if f"club/{name}/param/p_mu.weight" not in goldens else ()
    mean = MLP((*widths, 3), "torch", dtype=dtype)
    classes = MLP((4,) if "Linear" in name else (12, 4), "torch", dtype=dtype)

    def conditional(params):
        if name.startswith("CLUBMean"):
            mu = mean.apply({"params": params}, x)
            return mu, jnp.zeros_like(mu)
        return gaussian.apply({"params": params}, x)

    def logits(params):
        return classes.apply({"params": params}, x)

    def scores(params):
        return critic.apply({"params": params}, x, y)

    def sampled_dv(params):
        def paired(y):
            u, v = critic.apply({"params": params}, x, y, method="encode")
            return critic.apply({"params": params}, u, v, method="paired")

        return lower.dv_sampled(paired(y), paired(y[index]))

    estimate = {
        "MINE": sampled_dv,
        "NWJ": lambda p: lower.nwj(scores(p), "all"),
        "InfoNCE": lambda p: lower.infonce(nn.softplus(scores(p))),
        "CLUBSample": lambda p: jnp.mean(upper.vclub_sampled(y, *conditional(p), jnp.asarray(index))),
        "L1OutUB": lambda p: upper.leave_one_out_coded(gaussian_scores(y, *conditional(p))),
        "VarUB": lambda p: jnp.mean(upper.vub(*conditional(p))) / 3,  # the code averages over dimensions
        "CLUBForCategorical": lambda p: upper.club(categorical_scores(labels, logits(p))),
    }
    estimate["CLUBForCategoricalLinear"] = estimate["CLUBForCategorical"]
    value = estimate.get(name, lambda p: upper.vclub(y, *conditional(p)))
    if name in ("MINE", "NWJ", "InfoNCE"):
        return value, lambda p: -value(p)
    if "Categorical" in name:
        cross_entropy = optax.softmax_cross_entropy_with_integer_labels
        return value, lambda p: jnp.mean(cross_entropy(logits(p), labels))
    return value, lambda p: jnp.mean(gaussian_learning_loss(y, *conditional(p)))


OFFICIAL = (
    "CLUB",
    "CLUBMean",
    "CLUBMeanLinear",
    "CLUBSample",
    "MINE",
    "NWJ",
    "InfoNCE",
    "L1OutUB",
    "VarUB",
    "CLUBForCategorical",
    "CLUBForCategoricalLinear",
)


def golden_case(goldens, name, dtype):
    params = jax.tree.map(lambda a: a.astype(dtype), tree_of(goldens, name, "param"))
    estimate, loss = club_estimate_and_loss(name, goldens, dtype)
    return jax.jit(lambda p: (estimate(p), *jax.value_and_grad(loss)(p)))(params)


@pytest.mark.parametrize("name", OFFICIAL)
def test_estimators_of_the_official_club_code(goldens, name):
    """Estimate, learning loss and its gradients: 1e-9 in float64, 2e-5 relative in float32.

    Entries of the gradient are compared with the largest of all: some are zero but for rounding.
    """
    with jax.enable_x64(True):
        exact = golden_case(goldens, name, jnp.float64)
        expected = tree_of(goldens, name, "grad")
    single = golden_case(goldens, name, jnp.float32)
    for (estimate, loss, gradient), tolerance in ((exact, 1e-9), (single, 2e-5)):
        np.testing.assert_allclose(estimate, goldens[f"club/{name}/estimate"], rtol=tolerance)
        np.testing.assert_allclose(loss, goldens[f"club/{name}/learning_loss"], rtol=tolerance)
        chex.assert_trees_all_equal_structs(gradient, expected)
        largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
        for ours, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * largest)


@pytest.mark.parametrize("name", ["CLUB", "CLUBSample", "L1OutUB", "VarUB"])
def test_conditionals_of_the_official_club_code(goldens, name):
    """mu, logvar and the corrected estimates beside the coded ones."""
    q = ConditionalGaussian(3, hidden=(6,), dtype=jnp.float64)

    @jax.jit
    def outputs(params, x, y):
        mu, logvar = q.apply({"params": params}, x)
        scores = gaussian_scores(y, mu, logvar)
        return (mu, logvar), {
            "L1OutUB/estimate_correct": upper.leave_one_out(scores),
            "L1OutUB/estimate_mask20_2d": upper.leave_one_out_masked(scores),
            "L1OutUB/estimate_as_club": upper.vclub(y, mu, logvar),
            "VarUB/estimate_correct": jnp.mean(upper.vub(mu, logvar)),
        }

    with jax.enable_x64(True):
        batch = (jnp.asarray(goldens[f"club/{key}"]) for key in ("x", "y"))
        (mu, logvar), corrected = outputs(tree_of(goldens, name, "param"), *batch)
    np.testing.assert_allclose(mu, goldens[f"club/{name}/mu"], rtol=1e-9)
    np.testing.assert_allclose(logvar, goldens[f"club/{name}/logvar"], rtol=1e-9)
    for key, value in corrected.items():
        if key.startswith(name):
            np.testing.assert_allclose(value, goldens[f"club/{key}"], rtol=1e-9, err_msg=key)


def test_critics_of_the_vbmi_notebook(goldens):
    """Two hidden layers of 8; its concatenated critic has rows x, ours rows y."""
    layers = {}
    for key, value in goldens.items():
        if key.startswith(("critic/sep/g/", "critic/sep/h/", "critic/cat/f/")):
            _, _, net, layer, leaf = key.split("/")
            layers[net, f"layer_{layer}", leaf] = value
    with jax.enable_x64(True):
        nets = flax.traverse_util.unflatten_dict(jax.tree.map(jnp.asarray, layers))
        x, y = jnp.asarray(goldens["critic/x"]), jnp.asarray(goldens["critic/y"])
        separable = Separable(hidden=(8, 8), embedding=3, dtype=jnp.float64)
        of_separable = separable.apply({"params": {"g": nets["g"], "h": nets["h"]}}, x, y)
        first, *rest = (nets["f"][f"layer_{i}"] for i in range(3))
        params = {"first": first, "rest": {f"layer_{i}": layer for i, layer in enumerate(rest)}}
        concatenated = Concatenated(hidden=(8, 8), dtype=jnp.float64)
        of_concatenated = concatenated.apply({"params": params}, x, y)
    np.testing.assert_allclose(of_separable, goldens["critic/sep/scores_rows_y_cols_x"], rtol=1e-9)
    np.testing.assert_allclose(of_concatenated.T, goldens["critic/cat/scores_rows_x_cols_y"], rtol=1e-9)
