"""Torchvision's AlexNet to our parameters."""

import numpy as np
import pytest

from jaxmodels.torch_import.alexnet import import_state_dict
from train.weights.files import read_state_dict

SHAPES = {
    0: (64, 3, 11, 11),
    3: (192, 64, 5, 5),
    6: (384, 192, 3, 3),
    8: (256, 384, 3, 3),
    10: (256, 256, 3, 3),
}


def test_names_of_torchvision():
    state_dict = {"classifier.1.weight": np.zeros((2, 2))}
    for index, shape in SHAPES.items():
        kernel = np.zeros(shape, np.float32)
        kernel[5, 1, 2, 0] = index
        state_dict |= {f"features.{index}.weight": kernel, f"features.{index}.bias": np.zeros(shape[0])}
    ours = import_state_dict(state_dict)["params"]
    assert [ours[f"conv_{i}"]["kernel"][2, 0, 1, 5] for i in range(5)] == list(SHAPES)
    del state_dict["features.8.bias"]
    with pytest.raises(ValueError, match=r"no 'features\.8\.bias'"):
        import_state_dict(state_dict)


def test_packed_weights(shared):
    packed = read_state_dict(shared / "data" / "weights" / "alexnet_imagenet_f16.npz")
    ours = import_state_dict(packed)["params"]
    np.testing.assert_array_equal(ours["conv_4"]["kernel"], packed["conv4/kernel"])
    np.testing.assert_allclose(ours["conv_0"]["bias"][:2], [-0.97055, -2.80696], atol=2e-3)
