"""Training runs of the toy task."""

import jax
import numpy as np
from jax.sharding import AxisType

from tests.train import toy
from train.config import TrainConfig
from train.loop import fit
from train.metrics_log import read_metrics
from train.run_directory import create_run

CONFIG = TrainConfig(steps=23, batch_size=8, inner_steps=4, log_every=1, evaluate_every=6, checkpoint_every=9)


def one_device():
    return jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))


def run_at(path):
    return create_run("toy", {}, path)


def train(path, config=CONFIG, task=toy.TASK, mesh=None, seeds=1, first_seed=0, device_bytes=10**9, run=None):
    mesh = mesh or one_device()
    run = run or run_at(path)
    feed, validation, keys = toy.inputs(mesh, config, seeds, first_seed, device_bytes)
    return fit(task, feed, validation, keys, config, run, mesh, first_seed=first_seed), run


def losses(run):
    return read_metrics(run.metrics)["loss"][1]


def weights(fitted):
    return np.asarray(fitted.last.params["w"])
