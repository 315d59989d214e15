"""Measures a run again from a checkpoint: scores, pictures, tables and report.html are written anew."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments import autoencoding, cli, runs
from train.metrics.regressors import Regressor


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured, and how; what is not given is as the run was made with."""

    run_dir: runs.RunPath
    """The run."""
    checkpoint: runs.Which | None = None
    """The last state, or that of the best validation loss."""
    regressor: Regressor | None = None
    """DCI's regressor."""
    train_codes: int | None = None
    """Codes that the scores' classifiers are fitted to."""
    test_codes: int | None = None
    """Codes that they are tested on."""
    votes: int | None = None
    """Votes of the FactorVAE and beta-VAE scores (0: skip both)."""


def main(argv: Sequence[str]) -> None:
    """Opens the run, measures, reports."""
    wanted = runs.parse(Config, "evaluate", __doc__, argv)
    given = {
        name: getattr(wanted, name)
        for name in ("checkpoint", "regressor", "train_codes", "test_codes", "votes")
        if getattr(wanted, name) is not None
    }
    run = runs.open_run(wanted.run_dir, "RUN_DIR")
    saved = cli.from_json(cli.load_experiment(run).Config, run.config)
    config = replace(saved.evaluate, **given)
    autoencoding.check(saved.data, config, saved.train)
    source, split = autoencoding.open_data(saved.data, config)
    run, saved, trained = runs.open_trained(wanted.run_dir, config.checkpoint)
    trained = replace(trained, settings={**trained.settings, "evaluate": cli.to_json(config)})
    autoencoding.evaluate_and_report(run, trained, source, split, config)


if __name__ == "__main__":
    cli.main(main)
