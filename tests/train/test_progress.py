"""Plain lines where there is no terminal."""

from train.progress import Progress


def test_first_and_last_step_are_shown(capsys):
    progress = Progress(total=3, start=0, seconds=1000.0)
    for step in (1, 2, 3):
        progress.update(step, {"loss": [1.0, 3.0], "gradient_norm": [1.0]})
    progress.say("done")
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert "compilation included" in lines[0]
    assert lines[1].startswith("step 1/3") and "loss 2" in lines[1] and "gradient" not in lines[1]
    assert "steps/s" in lines[2] and lines[3] == "done"
