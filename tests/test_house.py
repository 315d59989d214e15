"""The rules of the house: who may import whom, and that README and CI run the same tests."""

import ast
import importlib
import inspect
import pathlib
import re
import typing

import pytest

from experiments import cli

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROOMS = ("jaxmodels", "objectives", "train", "experiments")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def room(module: str) -> str:
    """The room of a module: train/ has rooms inside."""
    parts = module.split(".")
    inner = (
        parts[1]
        if len(parts) > 1 and parts[0] == "train" and parts[1] in ("steps", "data", "metrics")
        else None
    )
    return f"train.{inner}" if inner else parts[0]


MAY_IMPORT = {
    "jaxmodels": {"jaxmodels"},
    "objectives": {"objectives"},
    "train.steps": {"train.steps", "train", "jaxmodels", "objectives"},
    "train": {"train", "train.data", "train.metrics"},
    "train.data": {"train.data", "train"},
    "train.metrics": {"train.metrics", "train"},
    "experiments": {
        "experiments",
        "train",
        "train.steps",
        "train.data",
        "train.metrics",
        "jaxmodels",
        "objectives",
    },
}


def module_of(path: pathlib.Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: pathlib.Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_what_it_may(path):
    own = room(module_of(path))
    for name in imports_of(path):
        if name.split(".")[0] in ROOMS:
            assert room(name) in MAY_IMPORT[own], f"{own} imports {name}"
        assert name.split(".")[0] not in ("torch", "tensorflow", "pickle"), name


def reached(path: pathlib.Path) -> set[str]:
    """The modules of ours that a file imports, and those that they import, and so on.

    Counted are distinct files, the first one aside; an `__init__` counts where there is more in it than a docstring.
    """
    found: set[pathlib.Path] = set()
    waiting = [path]
    while waiting:
        for name in imports_of(waiting.pop()):
            parts = name.split(".")
            stems = [ROOT.joinpath(*parts[:end]) for end in range(1, len(parts) + 1)]
            files = {file for stem in stems for file in (stem.with_suffix(".py"), stem / "__init__.py")}
            fresh = {file for file in files - found if parts[0] in ROOMS and file.is_file()}
            found |= fresh
            waiting += fresh
    return {module_of(file) for file in found - {path} if file.stem != "__init__" or statements(file)}


def statements(path: pathlib.Path) -> list[ast.stmt]:
    """Of a file, its docstring aside."""
    body = ast.parse(path.read_text()).body
    return [
        node for node in body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]


@pytest.mark.parametrize(
    ("system", "most"), [("mult_vae", 10), ("cada_vae", 10), ("cdae", 8), ("visual_recommenders", 8)]
)
def test_an_update_is_read_in_few_files(system, most):
    files = reached(ROOT / "train" / "steps" / f"{system}.py")
    assert {"train.update", "train.devices"} < files
    assert len(files) <= most, sorted(files)


def test_the_loop_knows_no_data():
    files = reached(ROOT / "train" / "loop.py")
    assert {"train.feed", "train.shuffle"} < files
    assert not [name for name in files if room(name) == "train.data"]


def test_only_one_file_knows_orbax():
    users = {module_of(path) for path in FILES if any(n.startswith("orbax") for n in imports_of(path))}
    assert users == {"train.checkpoint"}


READERS = {
    "numpy.load": "train.data.cache",  # of its own memory maps; npz files have train.npz_files
    "numpy.loadtxt": "train.data.text_tables",
    "csv.reader": "train.data.table_files",
    "json.loads": "train.json_files",
    "PIL.Image.open": "train.data.image_files",
    "scipy.io.loadmat": "train.data.mat_files",
    "h5py.File": "train.data.hdf5_files",
    "pickletools.genops": "train.weights.torch_files",
    "pyarrow.parquet.read_table": "train.data.ratings",
    **dict.fromkeys(("json.load", "numpy.genfromtxt", "numpy.fromfile", "csv.DictReader", "pandas.read_csv")),
    **dict.fromkeys(("imageio.imread", "matplotlib.pyplot.imread", "matplotlib.image.imread", "joblib.load")),
    **dict.fromkeys(
        ("numpy.memmap", "numpy.lib.format.read_array", "marshal.load", "shelve.open", "eval", "exec")
    ),
}
"""What reads a kind of file, and the one module that may: it holds the checks and messages that all others share."""


def calls_of(path: pathlib.Path) -> set[str]:
    """The full names of what a file takes from other modules, whatever it calls them."""
    tree, known, found = ast.parse(path.read_text()), {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {
                a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0]
                for a in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            known |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in ast.walk(tree):
        parts = []
        while isinstance(node, ast.Attribute):
            parts, node = [node.attr, *parts], node.value
        if isinstance(node, ast.Name):
            found.add(".".join([known.get(node.id, node.id), *parts]))
    return found


def test_each_kind_of_file_has_one_reader():
    users: dict[str, set[str]] = {name: set() for name in READERS}
    for path in FILES:
        for name in calls_of(path) & set(READERS):
            users[name].add(module_of(path))
    assert users == {name: {reader} if reader else set() for name, reader in READERS.items()}


def test_readers_are_found_by_any_name(tmp_path):
    (tmp_path / "a.py").write_text(
        "import json as j, scipy.io\nfrom PIL import Image as I\nfrom csv import reader\n"
        "j.loads, scipy.io.loadmat('x'), I.open(), reader, eval('1')"
    )
    assert {"json.loads", "scipy.io.loadmat", "PIL.Image.open", "csv.reader", "eval"} <= calls_of(
        tmp_path / "a.py"
    )


def test_no_room_for_odds_and_ends():
    assert not [path for path in FILES if path.stem in ("utils", "util", "helpers", "common", "misc")]


def test_ci_runs_the_two_commands_of_the_readme():
    """It takes them from the page, by what they begin with and what it asks for."""
    commands = [
        line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("python3 -m")
    ]
    asked = re.findall(r"\breadme ('[^']+'|\w+)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    patterns = [re.compile(f"python3 -m venv .*{pattern.strip(chr(39))}") for pattern in asked]
    assert [[bool(p.match(command)) for p in patterns] for command in commands] == [
        [True, False],
        [False, True],
    ]


STEPS = [
    path.stem for path in FILES if path.parent.name == "steps" and "\ndef train_step(" in path.read_text()
]


@pytest.mark.parametrize("system", STEPS)
def test_a_system_has_its_settings_beside_its_step(system):
    """Whoever imports the module of a step finds every class of settings that it takes there."""
    module = importlib.import_module(f"train.steps.{system}")
    parameters = inspect.signature(module.train_step).parameters
    settings = [
        p.annotation for name, p in parameters.items() if name in ("config", "objective", "estimator")
    ]
    assert settings
    for kind in (one for setting in settings for one in typing.get_args(setting) or (setting,)):
        assert getattr(module, kind.__name__) is kind


EXPERIMENT_FILES = [path for path in FILES if "\nEXPERIMENT = " in path.read_text()]


PRESET_NAMES = {"PAPER", "QUICK", "ML1M", "ML100K", "BENCHMARKS", "PRESETS", "PUBLISHED"}


def is_preset(node: ast.stmt) -> bool:
    """An assignment of presets, or of published numbers."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return any(isinstance(target, ast.Name) and target.id in PRESET_NAMES for target in targets)


@pytest.mark.parametrize("path", EXPERIMENT_FILES, ids=lambda path: path.stem)
def test_an_experiment_is_what_it_decides(path):
    """At most 120 lines without docstring, presets and published numbers, none of them what the session does."""
    tree = ast.parse(path.read_text())
    apart = [tree.body[0], *filter(is_preset, tree.body)]
    lines = len(path.read_text().splitlines()) - sum(node.end_lineno - node.lineno + 1 for node in apart)
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert lines <= 120 and not defined & {"evaluate", "load", "stored_models", "main"}


def test_every_experiment_is_in_this_form():
    assert {path.stem for path in EXPERIMENT_FILES} == set(cli.EXPERIMENTS)


@pytest.mark.parametrize("function", ["fit", "Report"])
def test_the_session_alone_trains_and_reports(function):
    """It alone calls `train.loop.fit` and makes the page."""
    origin = {"fit": "train.loop.fit", "Report": "train.report.report.Report"}[function]
    assert {module_of(path) for path in FILES if origin in imports_of(path)} == {"experiments.session"}


@pytest.mark.parametrize("name", ["Trained", "System", "About", "Measured"])
def test_a_record_has_one_definition(name):
    found = [
        module_of(path)
        for path in FILES
        if re.search(rf"^(class )?{name}\b( =|\(|:)", path.read_text(), re.M)
    ]
    assert len(found) <= 1, found


def test_readme_links_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target


def test_every_source_file_has_a_test_file():
    """In the same folder of tests/."""
    missing = set()
    for path in FILES:
        test = (ROOT / "tests" / path.relative_to(ROOT)).with_name(f"test_{path.stem}.py")
        if not path.stem.startswith("__") and not test.exists():
            missing.add(module_of(path))
    assert missing == TESTED_THROUGH_OTHERS


def modules(package: str, *names: str) -> set[str]:
    return {f"{package}.{name}" for name in names}


TESTED_THROUGH_OTHERS = {
    "train.errors",  # every test of wrong input
    "train.source",  # data/test_source
    "train.report.page",  # test_report
    "train.data.scene",  # test_shapes3d
    *modules("experiments", "runs", "evaluate", "encode", "sample"),  # test_gwae_3dshapes
    *modules(
        "experiments.representation", "autoencoding", "measures", "report", "view"
    ),  # test_gwae_3dshapes
    *modules("experiments.zero_shot", "protocol", "report", "pictures", "stages"),  # test_cada_vae_gzsl
    # test_multvae_movielens, test_gru4rec_sessions and test_deepstyle_fashion
    *modules("experiments.recommendation", "data", "measures", "page", "training"),
    *modules("experiments.recommendation", "session_data", "session_report", "session_training"),
    *modules("experiments.recommendation", "fashion_data", "fashion_measures", "fashion_report"),
    *modules("experiments", "dagan", "synthesise"),  # test_gaugan
    *modules("experiments.synthesis", "synthesiser", "measures", "feature_networks", "pictures"),
    *modules("experiments.information", "gaussian_report", "gaussian_stages"),  # test_mi_gaussian
    *modules(
        "experiments.information", *(f"minimisation_{n}" for n in ("data", "stages", "measures", "report"))
    ),
}
