"""Torchvision's VGG16 and VGG19 to our parameters."""

import numpy as np
import pytest

from jaxmodels.features.vgg import VGG16_LPIPS, VGG19_PERCEPTUAL
from jaxmodels.torch_import.vgg import import_state_dict, indices
from train.weights.files import read_state_dict

VGG16 = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
VGG19 = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
WIDTHS = (3, 64, 64, 128, 128, *(256,) * 4, *(512,) * 8)


def test_numbers_of_the_layers():
    assert tuple(indices(VGG16_LPIPS).values()) == VGG16
    assert tuple(indices(VGG19_PERCEPTUAL).values()) == VGG19[:13]


def test_vgg19_without_what_is_behind_the_last_tap():
    state_dict = {"classifier.0.weight": np.zeros((2, 2))}
    for i, index in enumerate(VGG19):
        kernel = np.zeros((WIDTHS[i + 1], WIDTHS[i], 3, 3), np.float16)
        kernel[:2, 1, 2, 0] = i, -i
        state_dict |= {f"features.{index}.weight": kernel, f"features.{index}.bias": np.full(len(kernel), i)}
    ours = import_state_dict(state_dict, VGG19_PERCEPTUAL)["params"]
    assert len(ours) == 13
    for i in range(13):
        layer = ours[f"conv_{i}"]
        np.testing.assert_array_equal(layer["kernel"][2, 0, 1, :2], [i, -i])
        np.testing.assert_array_equal(layer["bias"], i)
    with pytest.raises(ValueError, match=r"no 'features\.24\."):
        import_state_dict(state_dict, VGG16_LPIPS)


def test_packed_weights(shared):
    """Our own layout already: nothing moves; the first bias is the published one."""
    packed = read_state_dict(shared / "data" / "weights" / "vgg16_imagenet_f16.npz")
    ours = import_state_dict(packed, VGG16_LPIPS)["params"]
    for i in range(13):
        np.testing.assert_array_equal(ours[f"conv_{i}"]["kernel"], packed[f"conv{i}/kernel"])
    np.testing.assert_allclose(ours["conv_0"]["bias"][:2], [0.40339, 0.37779], atol=3e-4)
