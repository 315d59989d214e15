"""Whether the files of every example have one size that training can take, by their headers, before training."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from train.data.image_files import UnreadableError, header_size
from train.data.label_census import THREADS
from train.data.label_examples import LayoutFiles
from train.errors import UserError


def check_sizes(files: LayoutFiles) -> None:
    """Compares the files of every example; those that can't be read are left to who counts them.

    Raises:
      UserError: those of one differ in size, or become another size than all others, or one smaller than the crop.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        for problem in pool.map(lambda row: _problem(files, row), range(len(files))):
            if problem is not None:
                raise problem


def _problem(files: LayoutFiles, row: int) -> UserError | None:
    """What is wrong with an example: what headers make suspicious is read to be sure."""
    triple = files.triples[row]
    instance = triple.instance if files.layout.instances else None
    try:
        sizes = {header_size(file) for file in (triple.label, triple.image, instance) if file is not None}
        try:
            if len(sizes) == 1:
                files.check_size(*sizes.pop(), triple.image.name)
                return None
        except UserError:
            pass
        for random in (None, np.random.default_rng(0)):
            files.example(row, random)
    except UnreadableError:
        return None
    except UserError as error:
        return error
    return None
