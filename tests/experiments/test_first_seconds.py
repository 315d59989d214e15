"""Ctrl-C while modules are imported, other packages of our names, closed streams: in programs of their own."""

import os
import signal
import subprocess
import sys

import pytest

from experiments import first_seconds
from tests.experiments.commands import ENVIRONMENT, ROOT


@pytest.mark.parametrize("name", ["experiments", "experiments.gwae_3dshapes", "experiments.evaluate"])
def test_ctrl_c_during_imports_is_one_line(name, tmp_path):
    """JAX is replaced by a module that says when its import begins, and lasts."""
    (tmp_path / "jax.py").write_text("import sys, time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        [sys.executable, "-m", name, "x"], env=environment, cwd=tmp_path, **pipes
    ) as process:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (130, "stopped before anything had begun\n")


def test_it_is_over_when_the_command_begins():
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        first_seconds.stop_quietly()
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        first_seconds.over()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        first_seconds.stop_quietly()
        first_seconds.over()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_who_imports_the_package_keeps_the_handler(tmp_path):
    program = "import signal, experiments; assert signal.getsignal(2) is signal.default_int_handler"
    subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, check=True, timeout=60)


def test_our_packages_come_before_those_of_the_working_folder(tmp_path):
    (tmp_path / "train.py").write_text("raise SystemExit('the wrong train')\n")
    (tmp_path / "objectives").mkdir()
    (tmp_path / "objectives" / "__init__.py").write_text("raise SystemExit('the wrong objectives')\n")
    (tmp_path / "jax.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "experiments.errors_of_train"],
        env=ENVIRONMENT,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "wrong" not in done.stderr and "No module named experiments.errors_of_train" in done.stderr
    program = "from experiments import first_seconds; first_seconds.find_ours(); import train, objectives"
    subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, cwd=tmp_path, check=True, timeout=60)


def test_closed_streams_are_filled():
    """So that no file of the run gets the number of standard error."""
    program = (
        "import os; os.close(1); os.close(2); from experiments import first_seconds; "
        "first_seconds.fill_streams(); number = os.open(os.devnull, os.O_RDONLY); os._exit(number)"
    )
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, timeout=60)
    assert done.returncode > 2
