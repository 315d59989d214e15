"""DAGAN's attentions and generator against the official code, and its extensions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.dagan import ChannelAttention, DAGANGenerator, SpatialAttention
from jaxmodels.spade import SPADEGenerator
from jaxmodels.torch_import.spade import import_network
from tests.jaxmodels.spade_goldens import assert_close, check_generator, load, nhwc, parameters, shapes, under


@pytest.fixture(scope="module")
def attention(shared):
    return load(shared, "dagan_attention")


def output_and_gradient(function, *inputs):
    """The output, and the gradient of the sum of its squares with respect to every input."""

    @jax.jit
    def run(*inputs):
        squares = lambda *inputs: jnp.sum(function(*inputs) ** 2)  # noqa: E731
        return function(*inputs), jax.grad(squares, tuple(range(len(inputs))))(*inputs)

    return run(*inputs)


@pytest.mark.parametrize("size", [3, 7])
def test_spatial_attention_as_the_official_code(attention, size):
    variables = import_network(under(attention, f"sam{size}/state/"))
    module = SpatialAttention(size)
    out, (gradient,) = output_and_gradient(lambda x: module.apply(variables, x), nhwc(attention["x"]))
    assert_close(out, attention[f"sam{size}/out"])
    assert_close(gradient, attention[f"sam{size}/grad_x_of_sumsq"])


def test_channel_attention_as_the_official_code(attention):
    variables = import_network(under(attention, "cam/state/"))
    out, gradients = output_and_gradient(
        lambda x1, x2: ChannelAttention().apply(variables, [x1], x2),
        nhwc(attention["cam/x1"]),
        nhwc(attention["cam/x2"]),
    )
    assert_close(out, attention["cam/out"])
    for gradient, name in zip(gradients, ("x1", "x2"), strict=True):
        assert_close(gradient, attention[f"cam/grad_{name}_of_sumsq"])


def test_gates_of_zero_kernels_are_halves():
    x = jnp.ones((1, 2, 2, 3))
    for module, inputs, expected in (
        (SpatialAttention(), (x,), 0.5),
        (ChannelAttention(), ([x, 2 * x], x), 3.5),
    ):
        wanted = jax.eval_shape(module.init, jax.random.key(0), *inputs)
        zeros = jax.tree.map(lambda a: jnp.zeros(a.shape), wanted)
        np.testing.assert_allclose(module.apply(zeros, *inputs), expected)


def test_generator_as_the_official_code(shared):
    check_generator(load(shared, "dagan_normal"), DAGANGenerator(8))


def test_number_of_parameters():
    """At width 64 the attentions add 73,728 + 64 (conv_64), 8,256 + 4,160 (CAM) and 18 (SAM) to SPADE's."""
    counts = [parameters(shapes(module(64), (64, 64, 5))[1]) for module in (DAGANGenerator, SPADEGenerator)]
    assert counts[0] == 92_205_717
    assert counts[0] - counts[1] == 73_728 + 64 + 8_256 + 4_160 + 18


def test_number_of_parameters_of_the_golden(shared):
    golden = load(shared, "dagan_normal")
    assert parameters({"params": import_network(under(golden, "G/"))["params"]}) == golden["meta/n_params_G"]


def test_most_reduces_what_enters_its_last_block():
    image, variables = shapes(DAGANGenerator(4, "most"), (128, 128, 3))
    assert image.shape == (2, 128, 128, 3)
    assert variables["params"]["conv_64"]["kernel"].shape == (3, 3, 4, 2)


def test_more_scales():
    """Each has a convolution of its own, from the last scale to earlier ones, and the gate sees all of them."""
    image, variables = shapes(DAGANGenerator(4, scales=4), (32, 64, 3))
    assert image.shape == (2, 32, 64, 3)
    params = variables["params"]
    names = ["conv_64", *(f"conv_64_{i}" for i in range(1, 4))]
    assert [params[name]["kernel"].shape for name in names] == [(3, 3, 8 * 2**i, 4) for i in range(4)]
    assert params["cab"]["conv1"]["kernel"].shape == (1, 1, 20, 4)
