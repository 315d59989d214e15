"""The presets against the table of the official code."""

import pytest

from train.data.label_presets import PRESETS

# name: mode, load, crop, L, dont-care, instances, width / height
OFFICIAL = {
    "coco": ("resize_and_crop", 286, 256, 182, True, True, 1),
    "ade20k": ("resize_and_crop", 286, 256, 150, True, False, 1),
    "cityscapes": ("fixed", 512, 512, 35, False, True, 2),
    "facades": ("resize_and_crop", 286, 256, 13, False, False, 1),
    "custom": ("resize_and_crop", 286, 256, 13, False, False, 1),
    "dagan-facades": ("resize_and_crop", 1054, 1024, 13, False, False, 1),
    "celeba": ("resize_and_crop", 542, 512, 19, False, False, 1),
    "deepfashion": ("resize_and_crop", 286, 256, 20, False, False, 1),
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_official(name):
    p = PRESETS[name]
    found = (p.mode, p.load_size, p.crop_size, p.classes, p.dont_care, p.instances, p.aspect_ratio)
    assert found == OFFICIAL[name] and set(PRESETS) == set(OFFICIAL)


def test_only_ade20k_counts_from_one_and_only_cityscapes_shortens_names():
    assert [name for name, p in PRESETS.items() if p.minus_one] == ["ade20k"]
    assert [name for name, p in PRESETS.items() if p.pairing.name_parts] == ["cityscapes"]
