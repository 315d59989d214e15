"""Weights of a trained run to a file under their published names, and weights of a file into a run.

    python -m experiments.weights export RUN_DIR --out FILE
    python -m experiments.weights import RUN_DIR --weights FILE [--weights FILE ...] --out NEW_RUN_DIR

The names and layouts of GWAE, CADA-VAE, Mult-VAE, Mult-DAE, GRU4Rec, GauGAN and DAGAN are those of their PyTorch code
(see `jaxmodels.torch_import`). Of the last two, one file has all networks, whose names differ (discriminator_*;
layer*, fc_mu, fc_var; the generator's), and networks that no file holds start afresh. CDAE, VBPR, DeepStyle,
BPR-MF and the VAEs of images have no published ones: their parameters go by our own paths. `import` takes settings,
data and items from RUN_DIR, which stays as it is, and makes a new run of that one model that has made no update: the
other commands take it like any run, and --resume trains it further. Where the weights come from elsewhere, a run with
--train.steps 1 is enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro

from experiments import cli, runs
from experiments.experiment import System, experiment_of
from train import seeds
from train.atomic import write_atomically
from train.errors import UserError
from train.run_directory import RunDirectory, create_run, open_run
from train.run_outputs import refuse_own
from train.stored_state import Which, save_state
from train.weights.files import read_weights, write_state_dict


@dataclass(frozen=True, kw_only=True)
class Export:
    """Writes the weights of one model and one seed."""

    run_dir: runs.RunPath
    """The run."""
    out: Path
    """The file to write, whose ending says how: .npz or .safetensors."""
    model: str = ""
    """Which of the run's models, where it has several."""
    seed: int | None = None
    """Which of its seeds (default: the first)."""
    checkpoint: Which | None = None
    """The last state or the best (default: the one that the run's other commands take)."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """Makes a run of the weights of a file."""

    run_dir: runs.RunPath
    """A run of the same settings."""
    weights: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction]
    """The file: .npz, .safetensors or .pth. May be repeated for files that share no array (latest_net_G, _D and _E)."""
    out: Path
    """The new run."""
    model: str = ""
    """Which of the run's models, where it has several."""


Command = (
    Annotated[Export, tyro.conf.subcommand("export")] | Annotated[Import, tyro.conf.subcommand("import")]
)


def main(argv: Sequence[str]) -> None:
    """Exports or imports."""
    command: Any = Command
    config: Export | Import = runs.parse(command, "weights", __doc__, argv)
    run = open_run(config.run_dir, "RUN_DIR")
    system = chosen(run, config.model)
    if isinstance(config, Export):
        export(run, system, config)
    else:
        import_weights(run, system, config)


def chosen(run: RunDirectory, model: str) -> System[Any]:
    """A model of the run; the only one where none is named.

    Raises:
      UserError: the run has no such model, or several, or none with weights to keep.
    """
    experiment = experiment_of(run)
    if experiment.systems is None:
        problem = f"is a run of {run.experiment}, which keeps no weights for use"
        raise UserError("RUN_DIR", run.path, problem, "give a run of another experiment")
    models = experiment.systems(experiment.saved(run), run)
    names = ", ".join(models)
    if not model and len(models) > 1:
        raise UserError("--model", None, "the run has several", f"name one of {names}")
    if model and model not in models:
        raise UserError("--model", model, "is not in the run", f"name one of {names}")
    return models[model or names]


def export(run: RunDirectory, system: System[Any], config: Export) -> None:
    """Writes the file.

    Raises:
      UserError: there is no such checkpoint or seed, the weights have no names, or the file can't be written.
    """
    refuse_own(config.out, config.run_dir)
    index = runs.seed_index(config.seed, system.config.seed, system.config.seeds)
    state = system.load(run, config.checkpoint or system.serves)
    try:
        arrays = system.names.export(seeds.unstack(state, index))
    except ValueError as error:
        problem = f"its weights have no published names: {error}"
        raise UserError("RUN_DIR", config.run_dir, problem, "export a run without that setting") from error
    write_state_dict(config.out, arrays)
    cli.say(f"{len(arrays)} arrays of seed {system.config.seed + index}: {config.out}")


def import_weights(template: RunDirectory, system: System[Any], config: Import) -> None:
    """Makes the new run.

    Raises:
      UserError: the file can't be read, its weights are of other settings, or the run can't be made.
    """
    settings: Any = replace(system.config, seeds=1, run_dir=None, resume=None)
    fresh = jax.jit(system.task.init)(jax.random.key(settings.seed))
    try:
        state = system.names.insert(fresh, read_parts(config.weights))
    except ValueError as error:
        remedy = "give weights of the run's settings, or a run with theirs"
        raise UserError(
            "--weights", _listed(config.weights), f"are of other settings: {error}", remedy
        ) from error
    try:
        run = create_run(template.experiment, cli.to_json(settings), config.out)
    except UserError as error:  # it names the flag of a training
        raise UserError("--out", config.out, error.problem, "name another folder") from error
    for name in system.files:
        write_atomically(run.path / name, (template.path / name).read_bytes())
    save_state(jax.tree.map(lambda a: a[None], state), system.limits, run.in_stage(system.stage))
    if afresh := untouched(fresh, state):
        cli.say(f"of no file, and so afresh: {', '.join(afresh)}")
    cli.say(f"run directory: {run.path}")


def untouched(before: Any, after: Any) -> list[str]:
    """The networks whose parameters are the same objects in both states."""
    parts = before.params if isinstance(before.params, dict) else {}
    return [name for name, part in parts.items() if after.params[name] is part]


def read_parts(files: Sequence[Path]) -> dict[str, np.ndarray]:
    """The arrays of all files.

    Raises:
      UserError: there is none, one can't be read, or two hold an array of the same name.
    """
    if not files:
        raise UserError("--weights", None, "names no file", "give --weights FILE")
    arrays: dict[str, np.ndarray] = {}
    for file in files:
        more = read_weights(file, "--weights")
        if twice := sorted(set(arrays) & set(more)):
            remedy = "give files of different networks"
            raise UserError("--weights", file, f"holds {twice[0]}, as a file before it does", remedy)
        arrays |= more
    return arrays


def _listed(files: Sequence[Path]) -> str:
    return " ".join(map(str, files))


if __name__ == "__main__":
    cli.main(main)
