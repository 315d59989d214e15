"""Triples of label map, photo and, where there is one, instance map: image files in folders that pair by name."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from train.data.image_files import SUFFIXES, Encoded, list_images
from train.errors import UserError


class Triple(NamedTuple):
    """The files of one example."""

    label: Encoded
    image: Encoded
    instance: Encoded | None


class Triples(Protocol):
    """A set of examples that has been listed, not read.

    Attributes:
      name: what the data are, for reports.
      instances: whether examples have instance maps.
      class_names: one per class, or () where the set names none.
    """

    @property
    def name(self) -> str: ...
    @property
    def instances(self) -> bool: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Triple: ...


@dataclass(frozen=True)
class Pairing:
    """Which files belong together.

    Attributes:
      label_suffix, instance_suffix: how the names of label and instance files end, where a folder holds others too.
      name_parts: how many parts of a name, between underscores, must agree; 0 for all.
    """

    label_suffix: str = ""
    instance_suffix: str = ""
    name_parts: int = 0

    def key(self, path: Path) -> str:
        """What the files of one example have in common."""
        return "_".join(path.stem.split("_")[: self.name_parts or None])


@dataclass(frozen=True)
class FolderTriples:
    """Files that were found to pair, in the natural order of their names."""

    name: str
    rows: tuple[tuple[Path, ...], ...]
    class_names: tuple[str, ...] = ()

    @property
    def instances(self) -> bool:
        """Whether examples have instance maps."""
        return len(self.rows[0]) == 3

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Triple:
        label, image, *instance = (Encoded(str(path), path) for path in self.rows[row])
        return Triple(label, image, instance[0] if instance else None)


def list_folders(
    labels: Path, images: Path, instances: Path | None, pairing: Pairing, flags: str = "--data."
) -> FolderTriples:
    """Lists the image files of two or three folders, whatever is below them, and pairs them by name.

    Args:
      labels: folder of label maps.
      images: folder of photos.
      instances: folder of instance maps, if there is one.
      pairing: which files belong together.
      flags: what the folders' flags begin with, for messages.

    Raises:
      UserError: a folder is missing or empty, or a file has no partner.
    """
    folders = [(f"{flags}labels", labels, pairing.label_suffix), (f"{flags}images", images, "")]
    if instances is not None:
        folders.append((f"{flags}instances", instances, pairing.instance_suffix))
    listed = [_list(flag, folder, suffix, pairing) for flag, folder, suffix in folders]
    for flag, folder, suffix in folders[1:]:
        if suffix == pairing.label_suffix and folder.expanduser().samefile(labels.expanduser()):
            raise UserError(flag, folder, "is the folder of the label maps, too", "name another one")
    for (flag, folder, _), files in zip(folders[1:], listed[1:], strict=True):
        _check_partners(flags, labels, listed[0], flag, folder, files, pairing)
    return FolderTriples(images.resolve().name, tuple(zip(*listed, strict=True)))


def _list(flag: str, folder: Path, suffix: str, pairing: Pairing) -> list[Path]:
    folder = folder.expanduser()
    files = [path for path in list_images(folder, flag, below=True) if path.name.endswith(suffix)]
    if not files:
        problem = f"holds no image whose name ends in {suffix}"
        raise UserError(flag, folder, problem, f"name a folder of {', '.join(SUFFIXES[:3])} files")
    return sorted(
        files, key=lambda path: (natural(pairing.key(path)), natural(str(path.relative_to(folder))))
    )


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts numbers in names by their value: 2 before 10."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]


def _check_partners(
    flags: str,
    labels: Path,
    label_files: list[Path],
    flag: str,
    folder: Path,
    files: list[Path],
    pairing: Pairing,
) -> None:
    keys, label_keys = ([pairing.key(path) for path in some] for some in (files, label_files))
    if keys == label_keys:
        return
    missing = [path for path, key in zip(label_files, label_keys, strict=True) if key not in set(keys)]
    if missing:
        raise UserError(
            flag, folder, f"{_several(missing)} of {labels} has no partner there", "pair them by name"
        )
    extra = [path for path, key in zip(files, keys, strict=True) if key not in set(label_keys)]
    problem = (
        f"{_several(extra)} of {folder} has no partner there" if extra else "has fewer files of some names"
    )
    raise UserError(f"{flags}labels", labels, problem, "pair them by name")


def _several(files: list[Path]) -> str:
    more = f" (and {len(files) - 1} more)" if len(files) > 1 else ""
    return f"{files[0].name}{more}"
