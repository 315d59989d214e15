"""How the published data sets are read: sizes, classes and file names of the official SPADE and DAGAN code."""

from dataclasses import dataclass
from typing import Literal

from train.data.label_folders import Pairing
from train.data.pair_geometry import ResizeMode

PresetName = Literal[
    "custom", "coco", "ade20k", "cityscapes", "facades", "dagan-facades", "celeba", "deepfashion"
]


@dataclass(frozen=True)
class Preset:
    """One published setting.

    Attributes:
      classes: L.
      dont_care: whether pixels may be unknown.
      instances: whether the published model uses instance maps.
      mode: how examples are resized.
      load_size, crop_size: of the mode, in training; evaluation loads at the crop's size.
      aspect_ratio: width / height.
      upsampling: doublings of the generator in the published model.
      minus_one: whether label files count classes from 1, with 0 for unknown.
      pairing: which files belong together.
      names: of the classes, where they are known here.
    """

    classes: int
    dont_care: bool
    instances: bool
    mode: ResizeMode = "resize_and_crop"
    load_size: int = 286
    crop_size: int = 256
    aspect_ratio: float = 1.0
    upsampling: Literal["normal", "more", "most"] = "normal"
    minus_one: bool = False
    pairing: Pairing = Pairing()
    names: tuple[str, ...] = ()


_CITYSCAPES_NAMES = (
    *(
        "unlabeled",
        "ego vehicle",
        "rectification border",
        "out of roi",
        "static",
        "dynamic",
        "ground",
        "road",
    ),
    *(
        "sidewalk",
        "parking",
        "rail track",
        "building",
        "wall",
        "fence",
        "guard rail",
        "bridge",
        "tunnel",
        "pole",
    ),
    *("polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car"),
    *("truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle", "license plate"),
)
_CITYSCAPES = Pairing("_labelIds.png", "_instanceIds.png", name_parts=3)

PRESETS: dict[str, Preset] = {
    "custom": Preset(13, dont_care=False, instances=False),
    "coco": Preset(182, dont_care=True, instances=True),
    "ade20k": Preset(150, dont_care=True, instances=False, minus_one=True),
    "cityscapes": Preset(
        *(35, False, True, "fixed", 512, 512),
        aspect_ratio=2.0,
        upsampling="more",
        pairing=_CITYSCAPES,
        names=_CITYSCAPES_NAMES,
    ),
    "facades": Preset(13, dont_care=False, instances=False),
    "dagan-facades": Preset(13, dont_care=False, instances=False, load_size=1054, crop_size=1024),
    "celeba": Preset(19, dont_care=False, instances=False, load_size=542, crop_size=512),
    "deepfashion": Preset(20, dont_care=False, instances=False),
}
"""The last three are DAGAN's: its own facades, its `custom` as run on CelebAMask-HQ, and `deepfashion`."""
