"""Runs of two stages keep the promise of the foundation: killed anywhere, they end alike."""

from pathlib import Path

import numpy as np
import pytest
import training_kit as kit

pytest.importorskip("transformers", reason="extra 'text'")
pytest.importorskip("tokenizers", reason="extra 'text'")

from mezzotint.data.scenes import scene
from mezzotint.data.shapes import draw_scene
from mezzotint.runs.folder import RunFolder

FAULTS = [
    ("text", "step.update:2"),  # in the first stage
    ("text", "model.rename:1"),
    ("text", "replace.rename:6"),
    ("text", "step.update:11"),  # in the second one
    ("text", "checkpoint.file:40"),
    ("text", "model.rename:2"),
    ("text-moved", "step.update:12"),
]


@pytest.fixture(scope="module")
def captioned() -> Path:
    """48 pictures with captions, in a file."""
    path = kit.home() / "captioned.npz"
    captions = ["" if at % 9 == 0 else scene(at).caption for at in range(48)]
    small = [draw_scene(at)[::4, ::4] for at in range(48)]
    np.savez(path, images=np.stack(small), captions=captions)
    return path


def reference(case: str, data: Path) -> Path:
    """An unbroken run."""
    path = kit.home() / f"unbroken-{case}"
    if not path.exists():
        outcome = kit.train(case, path, data=data)
        assert outcome.code == 0, outcome.output
    return path


@pytest.mark.parametrize(("case", "fault"), FAULTS)
def test_a_killed_run_ends_like_the_unbroken_one(
    case: str, fault: str, captioned: Path, tmp_path: Path
) -> None:
    run = kit.home() / tmp_path.name
    assert kit.train(case, run, fault, data=captioned).code == kit.KILLED
    outcome = kit.train(case, run, data=captioned)
    assert outcome.code == 0, outcome.output
    unbroken = reference(case, captioned)
    kit.require_equal(run, unbroken)
    kit.require_equal(run / "autoencoder", unbroken / "autoencoder")


def _kept(run: Path) -> set[str]:
    return {path.name.partition("-")[0] for path in (run / "cache").iterdir()}


def test_both_stages_are_told_as_one(captioned: Path) -> None:
    run = reference("text", captioned)
    kinds = [_kept(reference(name, captioned)) for name in ("text", "text-moved")]
    assert kinds == [{"captions", "images"}, {"captions"}]
    first, second = RunFolder(run / "autoencoder"), RunFolder(run)
    assert first.header()["recipe"]["images"] == round(0.4 * kit.BATCH * kit.STEPS)
    assert second.header()["recipe"]["images"] == round(0.6 * kit.BATCH * kit.STEPS)


def test_other_options_are_another_run(captioned: Path) -> None:
    outcome = kit.train("text", reference("text", captioned), data=captioned, text_width=24)
    assert outcome.code == 78
    assert "text_width=16, this asks for 24" in outcome.output


def test_no_captions_exit_with_65(tmp_path: Path) -> None:
    outcome = kit.train("text", tmp_path / "run")
    assert outcome.code == 65
    assert "no caption" in outcome.output
    assert not (tmp_path / "run").exists()


def test_sampling_by_command(captioned: Path, tmp_path: Path) -> None:
    run = reference("text", captioned)
    words = ["sample", str(run), "--prompt", "a red circle", "--negative-prompt", "blue"]
    outcome = kit.call([*words, "--guidance", "4", "-n", "2", "--out", str(tmp_path / "out")])
    assert outcome.code == 0, outcome.output
    assert len(list((tmp_path / "out").iterdir())) == 2
    other = kit.call(["sample", str(run), "--label", "circle", "--out", str(tmp_path / "a.png")])
    assert other.code == 2
    assert "samples without 'label'" in other.output
