"""The heads of the lpips package to our parameters."""

import numpy as np
import pytest

from jaxmodels.torch_import.lpips import import_state_dicts
from train.weights.files import read_state_dict

WIDTHS = {"alexnet": (64, 192, 384, 256, 256), "vgg16": (64, 128, 256, 512, 512)}
FILES = {"alexnet": "alex", "vgg16": "vgg"}


@pytest.mark.parametrize("network", ["alexnet", "vgg16"])
def test_heads_in_either_kind_of_file(shared, network):
    weights = shared / "data" / "weights"
    backbone = read_state_dict(weights / f"{network}_imagenet_f16.npz")
    packed = read_state_dict(weights / "lpips_heads_v0.1.npz")
    ours = import_state_dicts(backbone, packed, network)["params"]
    names = [f"lin{i}.model.1.weight" for i in range(5)]
    own = {name: packed[f"{FILES[network]}/{name}"].reshape(1, -1, 1, 1) for name in names}
    again = import_state_dicts(backbone, own, network)["params"]
    for i, width in enumerate(WIDTHS[network]):
        assert ours[f"heads_{i}"].shape == (width,)
        np.testing.assert_array_equal(ours[f"heads_{i}"], again[f"heads_{i}"])
    with pytest.raises(ValueError, match="negative"):
        import_state_dicts(backbone, own | {names[2]: -own[names[2]]}, network)
    with pytest.raises(ValueError, match="its layer has"):
        import_state_dicts(backbone, own | {names[2]: own[names[0]]}, network)
    del own[names[4]]
    with pytest.raises(ValueError, match=r"no 'lin4\.model"):
        import_state_dicts(backbone, own, network)
