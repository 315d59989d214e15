"""Names of pytorch-fid to our parameters: a state dict with every one of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxmodels.features.inception_fid import InceptionFID
from jaxmodels.torch_import.by_name import LEAVES
from jaxmodels.torch_import.inception_fid import import_state_dict


@pytest.fixture(scope="module")
def state_dict():
    """Zeros, but for one entry of each array, which tells its place."""
    like = jax.eval_shape(InceptionFID(side=75).init, jax.random.key(0), jnp.zeros((1, 75, 75, 3)))
    arrays = {"fc.weight": np.zeros((3, 2)), "fc.bias": np.zeros(3)}
    for number, (path, leaf) in enumerate(flatten_dict(like).items()):
        name = ".".join((*path[1:-1], LEAVES[path[-1]]))
        arrays[name] = np.zeros(
            [leaf.shape[i] for i in (3, 2, 0, 1)] if leaf.ndim == 4 else leaf.shape, np.float32
        )
        arrays[name][(1,) + (0,) * (leaf.ndim - 1)] = number
        if path[-1] == "scale":
            arrays[name.replace("weight", "num_batches_tracked")] = np.array(0)
    return arrays


def test_every_name(state_dict):
    """A sample of names and layouts that torchvision documents."""
    assert state_dict["Mixed_6b.branch7x7_2.conv.weight"].shape == (128, 128, 1, 7)
    assert state_dict["Mixed_7c.branch3x3dbl_3b.conv.weight"].shape == (384, 384, 3, 1)
    assert state_dict["Mixed_5b.branch_pool.bn.running_var"].shape == (32,)
    assert state_dict["Conv2d_4a_3x3.conv.weight"].shape == (192, 80, 3, 3)
    ours = import_state_dict(state_dict)
    for path, leaf in flatten_dict(ours).items():
        theirs = state_dict[".".join((*path[1:-1], LEAVES[path[-1]]))]
        at = (0, 0, 0, 1) if leaf.ndim == 4 else (1,)
        assert leaf[at] == theirs.max() == leaf.max()


def test_another_network_is_refused(state_dict):
    with pytest.raises(ValueError, match=r"Mixed_8a\.conv\.weight"):
        import_state_dict({**state_dict, "Mixed_8a.conv.weight": np.zeros(1)})
