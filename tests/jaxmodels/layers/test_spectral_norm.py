"""Spectral normalisation: one power iteration per train-mode call, none in eval mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.layers.convolution import DownConv
from jaxmodels.layers.dense import Dense
from jaxmodels.layers.square_convolution import Conv
from jaxmodels.torch_import.spade import export_network, import_network
from tests.jaxmodels.spade_goldens import assert_close, load, nhwc, under

X = np.random.default_rng(0).standard_normal((3, 7)).astype(np.float32)


@pytest.fixture
def layer():
    module = Dense(5, spectral=True)
    return module, module.init(jax.random.key(0), X, False)


def kernel_of(variables):
    return np.asarray(variables["params"]["kernel"], np.float64)


def advance(module, variables, calls):
    for _ in range(calls):
        _, changed = module.apply(variables, X, True, mutable=["spectral"])
        variables = {**variables, **changed}
    return variables


def test_one_power_iteration_per_call(layer):
    module, variables = layer
    w = kernel_of(variables).T
    u = np.asarray(variables["spectral"]["u"], np.float64)
    for _ in range(3):
        out, changed = module.apply(variables, X, True, mutable=["spectral"])
        variables = {**variables, **changed}
        v = w.T @ u
        v /= np.linalg.norm(v)
        u = w @ v
        u /= np.linalg.norm(u)
        np.testing.assert_allclose(variables["spectral"]["u"], u, atol=1e-6)
        np.testing.assert_allclose(variables["spectral"]["v"], v, atol=1e-6)
        expected = X @ (w.T / (u @ w @ v)) + np.asarray(variables["params"]["bias"])
        np.testing.assert_allclose(out, expected, atol=1e-5)


def test_sigma_converges_to_the_top_singular_value(layer):
    module, variables = layer
    variables = advance(module, variables, 200)
    w, s = kernel_of(variables).T, variables["spectral"]
    sigma = np.asarray(s["u"], np.float64) @ w @ np.asarray(s["v"], np.float64)
    np.testing.assert_allclose(sigma, np.linalg.svd(w, compute_uv=False)[0], rtol=1e-5)


def test_convolution_kernels_are_matrices_of_outputs(layer):
    module = DownConv(6, spectral=True)
    x = jnp.zeros((1, 4, 4, 2))
    variables = jax.jit(module.init, static_argnums=2)(jax.random.key(1), x, False)
    assert variables["spectral"]["u"].shape == (6,)
    assert variables["spectral"]["v"].shape == (32,)
    iterate = jax.jit(lambda variables: module.apply(variables, x, True, mutable=["spectral"])[1])
    for _ in range(200):
        variables = {**variables, **iterate(variables)}
    w = kernel_of(variables).reshape(-1, 6).T
    sigma = variables["spectral"]["u"] @ w @ variables["spectral"]["v"]
    np.testing.assert_allclose(sigma, np.linalg.svd(w, compute_uv=False)[0], rtol=1e-5)


def test_eval_mode_and_initialisation_leave_the_vectors(layer):
    module, variables = layer
    _, changed = module.apply(variables, X, False, mutable=["spectral"])
    jax.tree.map(np.testing.assert_array_equal, changed["spectral"], variables["spectral"])
    again = module.init(jax.random.key(0), X, True)
    jax.tree.map(np.testing.assert_array_equal, again, variables)
    np.testing.assert_allclose(np.linalg.norm(variables["spectral"]["u"]), 1, rtol=1e-6)


def test_the_stored_kernel_is_not_normalised(layer):
    _, variables = layer
    assert np.abs(variables["params"]["kernel"]).max() <= 7**-0.5


def test_gradient_by_finite_differences(layer):
    """With u and v constant, in float64 on the host: d(X W / sigma)/dW includes sigma's own derivative."""
    module, variables = layer
    weight = np.random.default_rng(1).standard_normal((3, 5))
    u, v = (np.asarray(variables["spectral"][name], np.float64) for name in "uv")

    def loss(params):
        out = module.apply({**variables, "params": params}, X, False)
        return jnp.vdot(out, jnp.asarray(weight, jnp.float32))

    gradient = jax.grad(loss)(variables["params"])["kernel"]
    kernel = kernel_of(variables)

    def reference(kernel):
        return np.vdot(X @ kernel / (u @ kernel.T @ v), weight)

    for index in np.ndindex(kernel.shape):
        step = np.zeros_like(kernel)
        step[index] = 1e-6
        expected = (reference(kernel + step) - reference(kernel - step)) / 2e-6
        np.testing.assert_allclose(gradient[index], expected, rtol=1e-3, atol=1e-3 * np.abs(gradient).max())


def test_train_mode_differentiates_neither_vector(layer):
    """The gradient in train mode is that of eval mode with the advanced vectors."""
    module, variables = layer

    def loss(params, spectral, train):
        out, _ = module.apply({"params": params, "spectral": spectral}, X, train, mutable=["spectral"])
        return jnp.sum(out**2)

    advanced = advance(module, variables, 1)["spectral"]
    train = jax.grad(loss)(variables["params"], variables["spectral"], True)
    frozen = jax.grad(loss)(variables["params"], advanced, False)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), train, frozen)


def test_step_by_step_as_torch(shared):
    """Eval mode, two train-mode calls with the vectors after each, and the gradient through the second."""
    golden = under(load(shared, "spade_layers"), "sn/")
    names = {"weight_orig": "weight_orig", "bias": "bias", "weight_u": "u0", "weight_v": "v0"}
    variables = import_network({f"conv.{name}": golden[key] for name, key in names.items()})
    variables = {collection: tree["conv"] for collection, tree in variables.items()}
    module, x = Conv(5, 3, spectral=True), nhwc(golden["x"])

    @jax.jit
    def run(variables):
        first, once = module.apply(variables, x, True, mutable=["spectral"])

        def second(params):
            out, twice = module.apply({"params": params, **once}, x, True, mutable=["spectral"])
            return jnp.sum(out**2), (out, twice)

        gradient, (out, twice) = jax.grad(second, has_aux=True)(variables["params"])
        return module.apply(variables, x, False), first, once, out, twice, gradient

    evaluated, first, once, out, twice, gradient = run(variables)
    for ours, name in ((evaluated, "eval0"), (first, "train1"), (out, "train2")):
        assert_close(ours, golden[name])
    kernel = golden["weight_eval0"].transpose(2, 3, 1, 0)
    divided = Conv(5, 3).apply({"params": {**variables["params"], "kernel": kernel}}, x)
    np.testing.assert_allclose(evaluated, divided, atol=1e-4)
    params = {"conv": variables["params"]}
    after = [export_network({"params": params, "spectral": {"conv": c["spectral"]}}) for c in (once, twice)]
    assert_close(after[0]["conv.weight_u"], golden["u1"])
    assert_close(after[0]["conv.weight_v"], golden["v1"])
    assert_close(after[1]["conv.weight_u"], golden["u2"])
    wanted = golden["grad_weight_orig_of_sumsq_train2"].transpose(2, 3, 1, 0)
    np.testing.assert_allclose(gradient["kernel"], wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
