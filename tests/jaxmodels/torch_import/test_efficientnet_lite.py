"""Published weights of EfficientNet-Lite0 to our parameters."""

import jax
import numpy as np
import pytest

from jaxmodels.torch_import.efficientnet_lite import import_state_dict
from train.weights.files import read_state_dict


def test_every_array_of_the_published_file(shared):
    theirs = read_state_dict(shared / "data" / "weights" / "efficientnet_lite0_f16.npz")
    variables = import_state_dict(theirs)
    ours, stored = variables["params"], variables["batch_stats"]
    tracked = [name for name in theirs if name.endswith("num_batches_tracked")]
    assert len(jax.tree.leaves(variables)) == len(theirs) - len(tracked)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == sum(
        a.size for a in theirs.values()
    ) - len(tracked)
    pairs = {
        "_blocks.3._depthwise_conv.weight": ours["block_3"]["depthwise"]["convolution"]["kernel"],
        "_blocks.0._project_conv.weight": ours["block_0"]["project"]["convolution"]["kernel"],
        "_fc.weight": ours["classes"]["kernel"],
    }
    for name, kernel in pairs.items():
        moved = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
        np.testing.assert_array_equal(moved, theirs[name])
    np.testing.assert_array_equal(
        stored["block_5"]["expand"]["norm"]["var"], theirs["_blocks.5._bn0.running_var"]
    )
    np.testing.assert_array_equal(stored["head"]["norm"]["mean"], theirs["_bn1.running_mean"])
    np.testing.assert_array_equal(ours["stem"]["norm"]["scale"], theirs["_bn0.weight"])
    with pytest.raises(ValueError, match=r"no '_bn0\.weight'"):
        import_state_dict({name: array for name, array in theirs.items() if name != "_bn0.weight"})
