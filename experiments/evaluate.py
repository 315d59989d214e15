"""Measures a run again from a checkpoint: scores, pictures, tables and report.html are written anew.

    python -m experiments.evaluate RUN_DIR [flags]

The flags are the run's own settings of evaluation, with the values that it was made with as defaults:
`python -m experiments.evaluate RUN_DIR --help` lists them.
"""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import tyro

from experiments import cli
from experiments.experiment import experiment_of
from experiments.session import replay
from train.bounds import check_bounds
from train.errors import UserError
from train.fingerprint import check_files
from train.inflation import HELP
from train.run_directory import RunDirectory, open_run
from train.run_outputs import check_outputs


def main(argv: Sequence[str]) -> None:
    """Opens the run, measures, reports."""
    if argv[:1] in (["-h"], ["--help"]):
        print(f"{__doc__}\n{HELP}")
        return
    if not argv or argv[0].startswith("-"):
        raise UserError(
            "RUN_DIR", " ".join(argv), "the first argument does not name a run", "give its directory first"
        )
    run = open_run(cli.absolute(Path(argv[0]), "RUN_DIR"), "RUN_DIR")
    check_outputs(run)
    experiment = experiment_of(run)
    saved = experiment.saved(run)
    prog = f"python -m experiments.evaluate {argv[0]}"
    wanted = tyro.cli(
        type(saved.evaluate), default=saved.evaluate, prog=prog, description=HELP, args=list(argv[1:])
    )
    check_bounds(wanted)
    cli.cache_compilations()
    cli.find_devices()
    try:
        check_files(run.files, cli.paths(saved))
        replay(experiment, run, replace(saved, evaluate=cli.located(wanted, saved.evaluate)))
    except UserError as error:
        raise _as_said_here(error, run) from error


def _as_said_here(error: UserError, run: RunDirectory) -> UserError:
    """The same error with this command's flags: those of an experiment are called --evaluate.something.

    Those of the data are the run's own: a run is told of data that moved when it is continued.
    """
    if error.field.startswith("--data."):
        command = f"python -m experiments.{run.experiment} --resume {shlex.quote(str(run.path))}"
        remedy = f"where the data moved: {command} {error.field} PLACE"
        return UserError(f"the run's {error.field}", error.value, error.problem, remedy)

    def here(text: str) -> str:
        return text.replace("--evaluate.", "--")

    return UserError(here(error.field), error.value, here(error.problem), here(error.remedy))


if __name__ == "__main__":
    cli.main(main)
