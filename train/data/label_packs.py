"""Triples of label map, photo and instance map in one `.npz` file: the encoded files of each kind, joined.

The arrays, of which those of instances and `class_names` may be absent:
  image_jpeg_bytes     uint8, all photos (JPEG, PNG or what Pillow reads) one after another
  image_jpeg_offsets   integers [n + 1]: photo i is bytes[offsets[i] : offsets[i + 1]]
  label_png_bytes, label_png_offsets          label maps, in the same way
  instance_png_bytes, instance_png_offsets    instance maps
  names                text [n], for messages
  class_names          text [L] or more
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from train import npz_files
from train.data.image_files import Encoded
from train.data.label_folders import Triple
from train.errors import UserError

KINDS = ("label_png", "image_jpeg", "instance_png")
_REMEDY = "see train/data/label_packs.py for what such a file holds"


@dataclass(frozen=True, eq=False)
class PackedTriples:
    """An opened pack; its bytes are in memory, encoded as they were.

    Attributes:
      name: stem of the file.
      path: of the file, for messages.
      joined: bytes and offsets of label maps, photos and perhaps instance maps.
      names: one per example.
      class_names: as the file has them.
    """

    name: str
    path: Path
    joined: tuple[tuple[np.ndarray, np.ndarray], ...]
    names: tuple[str, ...]
    class_names: tuple[str, ...]

    @property
    def instances(self) -> bool:
        """Whether examples have instance maps."""
        return len(self.joined) == len(KINDS)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> Triple:
        label, image, *instance = (
            Encoded(
                f"{self.path.name}[{self.names[row]}].{kind.partition('_')[0]}",
                content[offsets[row] : offsets[row + 1]].tobytes(),
            )
            for kind, (content, offsets) in zip(KINDS, self.joined, strict=False)
        )
        return Triple(label, image, instance[0] if instance else None)


def open_pack(path: Path, flag: str = "--data.path") -> PackedTriples:
    """Reads a pack into memory, still encoded.

    Args:
      path: the file.
      flag: what the user named it by, for messages.

    Raises:
      UserError: it is missing, is not a pack, or is inconsistent.
    """
    with npz_files.open_npz(path, flag, _REMEDY) as file:
        kinds = [kind for kind in KINDS if f"{kind}_bytes" in file or kind != "instance_png"]
        wanted = [f"{kind}_{what}" for kind in kinds for what in ("bytes", "offsets")] + ["names"]
        if missing := [name for name in wanted if name not in file]:
            problem = f"has no array {missing[0]!r} (it holds {npz_files.listed(file.names)})"
            raise UserError(flag, path, problem, _REMEDY)
        joined = tuple((file.read(f"{kind}_bytes"), file.read(f"{kind}_offsets")) for kind in kinds)
        names = _texts(file, "names")
        class_names = _texts(file, "class_names") if "class_names" in file else ()
    for kind, (content, offsets) in zip(kinds, joined, strict=True):
        _check(flag, path, kind, content, offsets, len(names))
    return PackedTriples(path.stem, path, joined, names, class_names)


def _texts(file: npz_files.NpzFile, name: str) -> tuple[str, ...]:
    array = file.read(name)
    if array.ndim != 1:
        raise ValueError(f"{name!r} has {array.ndim} dimensions, not one")
    return tuple(map(str, array))


def _check(flag: str, path: Path, kind: str, content: np.ndarray, offsets: np.ndarray, count: int) -> None:
    """Raises UserError unless offsets cut the bytes into one file per name."""
    well_formed = (
        count > 0
        and content.dtype == np.uint8
        and content.ndim == 1
        and offsets.dtype.kind in "iu"
        and offsets.shape == (count + 1,)
    )
    if (
        well_formed
        and offsets[0] == 0
        and offsets[-1] == len(content)
        and (np.diff(offsets.astype(int)) >= 0).all()
    ):
        return
    problem = f"{kind}_bytes and {kind}_offsets do not hold one file for each of {count} names"
    raise UserError(flag, path, problem, _REMEDY)
