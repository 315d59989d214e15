"""`python -m tests.experiments.few_images NAME ...` is `python -m experiments.NAME ...` for runs on a few images.

Evaluation calls networks on 256 images at a time and fills up what is fewer, which is most of the time of a tiny run.
"""

import runpy
import sys

from experiments.representation import view

FEW = 16

if __name__ == "__main__":
    view.BATCH = FEW
    del sys.argv[0]
    runpy.run_module(f"experiments.{sys.argv[0]}", run_name="__main__", alter_sys=True)
