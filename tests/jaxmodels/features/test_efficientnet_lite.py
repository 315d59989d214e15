"""EfficientNet-Lite0: published size, a block by hand, and what the published weights see on photos."""

import functools
import io
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxmodels.features.efficientnet_lite import Block, EfficientNetLite
from jaxmodels.torch_import.efficientnet_lite import import_state_dict
from train.weights.files import read_state_dict

PHOTOS = {100007: 296, 157032: 122, 100075: 294, 134008: 293, 56028: 863}
"""Photos of BSDS500, looked at, and their ImageNet classes: ice bear, lobster, brown bear, cheetah, totem pole."""


def test_published_size():
    """4.65 million parameters, in 16 blocks; 1280 features of images of any size."""
    network = EfficientNetLite()
    x = jax.ShapeDtypeStruct((2, 64, 48, 3), jnp.float32)
    variables = jax.eval_shape(functools.partial(network.init, method="logits"), jax.random.key(0), x)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 4_652_008
    assert sum(name.startswith("block_") for name in variables["params"]) == 16
    assert jax.eval_shape(network.apply, variables, x).shape == (2, 1280)
    logits = jax.eval_shape(functools.partial(network.apply, method="logits"), variables, x)
    assert logits.shape == (2, 1000)


def test_a_block_is_an_addition_where_it_can_be():
    """With its last scale at 0 a block adds nothing; with a stride or another width it has nothing to add to."""
    x = jax.random.normal(jax.random.key(0), (1, 6, 6, 4))

    def out(block):
        variables = jax.jit(block.init)(jax.random.key(1), x)
        variables["params"]["project"]["norm"]["scale"] = jnp.zeros(block.width)
        return jax.jit(block.apply)(variables, x)

    np.testing.assert_array_equal(out(Block(3, 1, 6, 4)), x)
    np.testing.assert_array_equal(out(Block(5, 2, 6, 4)), np.zeros((1, 3, 3, 4)))
    np.testing.assert_array_equal(out(Block(3, 1, 1, 8)), np.zeros((1, 6, 6, 8)))


@pytest.mark.slow
def test_published_weights_know_what_is_on_a_photo(shared):
    variables = import_state_dict(read_state_dict(shared / "data" / "weights" / "efficientnet_lite0_f16.npz"))
    with zipfile.ZipFile(shared / "data" / "images" / "bsds500_256.zip") as archive:
        names = {path.split("/")[-1]: path for path in archive.namelist()}
        found = [
            Image.open(io.BytesIO(archive.read(names[f"{number}.jpg"]))).convert("RGB") for number in PHOTOS
        ]
    x = np.stack([np.asarray(image) for image in found]).astype(np.float32) / 127.5 - 1
    logits = jax.jit(functools.partial(EfficientNetLite().apply, variables, method="logits"))(x)
    assert logits.argmax(-1).tolist() == list(PHOTOS.values())
    assert (jax.nn.softmax(logits).max(-1) > 0.6).all()
