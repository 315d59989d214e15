"""`python -m experiments`: the experiments and commands that there are."""

from experiments import cli
from experiments.experiment import experiment_named
from train.inflation import HELP
from train.report.tables import Table, to_text

COMMANDS = (
    ("evaluate RUN_DIR", "measure a run again from a checkpoint, and write its report anew"),
    ("encode RUN_DIR --input IMAGES --out Z.npz", "codes of your images (autoencoders)"),
    ("sample RUN_DIR --n 64 --out DIR", "images from the prior (autoencoders)"),
    ("recommend RUN_DIR --user-history FILE --k 20", "ranked items for new users (recommenders)"),
    ("synthesise RUN_OR_WEIGHTS --labels DIR --out DIR", "images for label maps (gaugan, dagan)"),
    ("weights export|import RUN_DIR ...", "weights of a run, out and in, under the published names"),
    ("benchmark SYSTEM", "time or memory of training: gwae, cada-vae, mult-vae, items, mi, gaugan"),
)


def main() -> None:
    """Prints the experiments and the commands on runs."""
    abouts = [experiment_named(name).about for name in cli.EXPERIMENTS]
    rows = [[about.name, about.paper, about.data, about.time] for about in abouts]
    print("Run one with: python -m experiments.NAME [--help]\n")
    print(to_text(Table("Experiments", ["name", "paper", "data", "time"], rows)))
    print("\nCommands on what was trained: python -m experiments.COMMAND [--help]\n")
    print(to_text(Table("Commands", ["command", "what it does"], [list(row) for row in COMMANDS])))
    print(f"\n{HELP}")


if __name__ == "__main__":
    cli.main(lambda _: main())
