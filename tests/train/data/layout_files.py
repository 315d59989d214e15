"""Small folders and packs of label maps, photos and instance maps."""

from pathlib import Path

import numpy as np
from PIL import Image

KINDS = ("labels", "images", "instances")


def write_folders(
    folder: Path, count: int, width: int = 24, height: int = 16, classes: int = 4
) -> dict[str, Path]:
    """`count` examples, whose photos tell their number in blue and their column in red."""
    folders = {kind: folder / kind for kind in KINDS}
    for path in folders.values():
        path.mkdir(parents=True)
    for i in range(count):
        write_example(folders, f"view{i}", i, width, height, classes)
    return folders


def write_example(
    folders: dict[str, Path], stem: str, number: int, width: int, height: int, classes: int
) -> None:
    """One example; its label and instance maps are stripes that lie as the red of the photo does."""
    column = np.tile(np.arange(width), (height, 1))
    label = column * classes // width
    photo = np.zeros((height, width, 3), np.uint8)
    photo[..., 0], photo[..., 2] = column * 255 // width, number
    Image.fromarray(label.astype(np.uint8)).save(folders["labels"] / f"{stem}.png")
    Image.fromarray((1000 * number + label).astype(np.uint16)).save(folders["instances"] / f"{stem}.png")
    Image.fromarray(photo).save(folders["images"] / f"{stem}.png")


def truncate(path: Path) -> None:
    """Cuts a file off in the middle."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def write_pack(path: Path, folders: dict[str, Path], **more: np.ndarray) -> Path:
    """The files of folders as one npz."""
    arrays = {"names": np.array([p.stem for p in sorted(folders["labels"].iterdir())])}
    for kind, name in zip(("label_png", "image_jpeg", "instance_png"), KINDS, strict=True):
        files = [p.read_bytes() for p in sorted(folders[name].iterdir())]
        arrays[f"{kind}_bytes"] = np.frombuffer(b"".join(files), np.uint8)
        arrays[f"{kind}_offsets"] = np.cumsum([0, *map(len, files)])
    np.savez(path, **(arrays | more))
    return path
