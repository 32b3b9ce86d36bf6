"""A disk that fills up, or cannot be written at all, costs nothing that was complete."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import training_kit as kit

from mezzotint.runs import checkpoint
from mezzotint.runs.folder import RunFolder

OFFSETS = 10
CHECKPOINT_BYTES = 95_000


class SmallDisk:
    """A file system in memory whose free space a test sets."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def leave(self, free: int) -> None:
        """Make all but ``free`` bytes of the disk full."""
        found = os.statvfs(self.path)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        self.mount(f"remount,size={used + free}")

    def mount(self, options: str) -> bool:
        """Mount or remount; whether that is allowed here."""
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.path)]
        return subprocess.run(words, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def disk() -> Iterator[SmallDisk]:
    small = SmallDisk(kit.home() / "disk")
    small.path.mkdir()
    if shutil.which("mount") is None or not small.mount("size=64m"):
        pytest.skip("file systems cannot be mounted here")
    yield small
    subprocess.run(["umount", "-l", str(small.path)], check=True)


@pytest.fixture(scope="module")
def started() -> Path:
    """A run that was killed in its seventh step."""
    return kit.interrupted("vae", kit.home() / "started", step=7)


def _require_safe(run: Path, outcome: kit.Outcome) -> None:
    """The earlier checkpoint loads, the exit code is 74, the message helps, nothing lies about."""
    assert outcome.code == 74, outcome.output
    assert re.search(r"no space left to write \(\d+ bytes free\)", outcome.output)
    assert f"where: {run}" in outcome.output
    assert "Traceback" not in outcome.output
    assert kit.litter(run) == []
    names = [path.name for path in checkpoint.listing(run / "checkpoints")]
    assert names == ["000000160", "000000192"]
    assert kit.newest(run).state["step"] == 6


@pytest.mark.parametrize("offset", range(OFFSETS))
def test_a_disk_that_is_full_at_some_point_of_a_checkpoint(
    offset: int, disk: SmallDisk, started: Path
) -> None:
    disk.mount("remount,size=64m")
    run = kit.copy_of(started, disk.path / f"run{offset}")
    disk.leave(offset * CHECKPOINT_BYTES // OFFSETS)
    outcome = kit.train("vae", run)
    _require_safe(run, outcome)
    if offset % 3 == 0:
        disk.mount("remount,size=64m")
        assert kit.train("vae", run).code == 0
        kit.require_equal(run, kit.reference("vae"))


@pytest.mark.parametrize("size", [0, 200, 340, 1_000, 10_000, 18_000, 20_000, 30_000, 37_000])
def test_a_limit_on_the_size_of_files(size: int, started: Path, tmp_path: Path) -> None:
    run = kit.copy_of(started, tmp_path / "run")
    _require_safe(run, kit.train("vae", run, hurt={"file_limit": {"size": size}}))


def test_after_a_full_disk_the_run_goes_on(started: Path, tmp_path: Path) -> None:
    run = kit.copy_of(started, tmp_path / "run")
    assert kit.train("vae", run, hurt={"file_limit": {"size": 20_000}}).code == 74
    assert kit.train("vae", run).code == 0
    kit.require_equal(run, kit.reference("vae"))


def test_a_full_disk_costs_only_the_pictures(tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = kit.train("vae", run, hurt={"full_disk_in": {"part": "/samples/"}})
    assert outcome.code == 0, outcome.output
    assert "warning: a preview was not written: no space left" in outcome.output
    unbroken = kit.reference("vae")
    assert kit.history(run) == kit.history(unbroken)
    same = {"checkpoint", "model", "ema", "optimizer", "model.safetensors"}
    expected = {key: value for key, value in kit.digests(unbroken).items() if key in same}
    assert {key: value for key, value in kit.digests(run).items() if key in same} == expected
    assert kit.litter(run) == []
    assert list((run / "samples").iterdir()) == []


def test_a_full_disk_costs_only_the_curve(tmp_path: Path) -> None:
    run = tmp_path / "run"
    hurt = {"curve": True, "full_disk_in": {"part": "curve.png"}}
    outcome = kit.train("vae", run, hurt=hurt)
    assert outcome.code == 0, outcome.output
    assert "warning: the curve was not written" in outcome.output
    kit.require_equal(run, kit.reference("vae"))


@pytest.mark.parametrize(
    ("part", "named"),
    [("run.json", "run.json"), ("config.json", "config.json"), ("README.md", ".model.tmp")],
)
def test_a_full_disk_at_the_ends_of_a_run(part: str, named: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = kit.train("vae", run, hurt={"full_disk_in": {"part": part}})
    assert outcome.code == 74, outcome.output
    assert named in outcome.output
    assert kit.litter(run) == []
    assert not RunFolder(run).finished()
    assert kit.train("vae", run).code == 0
    kit.require_equal(run, kit.reference("vae"))


def test_a_torn_history_line_is_dropped(tmp_path: Path) -> None:
    run = kit.interrupted("vae", tmp_path / "run", step=7)
    with (run / "history.jsonl").open("a") as file:
        file.write('{"images": 2')
    assert [line["step"] for line in RunFolder(run).lines()] == [3, 6]
    assert kit.train("vae", run).code == 0
    kit.require_equal(run, kit.reference("vae"))


def _set_modes(run: Path, folder: int, file: int) -> None:
    for path in [*run.rglob("*"), run]:
        path.chmod(folder if path.is_dir() else file)


def test_a_folder_that_cannot_be_written(started: Path, tmp_path: Path) -> None:
    run = kit.copy_of(started, tmp_path / "run")
    before = kit.files(run), json.loads((run / "run.json").read_text())
    _set_modes(run, 0o555, 0o444)
    outcome = kit.train("vae", run, hurt={"heed_permissions": {}})
    _set_modes(run, 0o755, 0o644)
    assert outcome.code == 73, outcome.output
    assert str(run) in outcome.output
    assert "Traceback" not in outcome.output
    assert (kit.files(run), json.loads((run / "run.json").read_text())) == before
    assert kit.train("vae", run).code == 0
    kit.require_equal(run, kit.reference("vae"))


def test_a_new_run_where_none_can_be_made(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    outcome = kit.train("vae", tmp_path / "run", hurt={"heed_permissions": {}})
    tmp_path.chmod(0o755)
    assert outcome.code == 73, outcome.output
    assert str(tmp_path / "run") in outcome.output


def test_a_run_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = kit.train("vae", tmp_path / "file" / "run")
    assert outcome.code == 73, outcome.output
    assert str(tmp_path / "file") in outcome.output
