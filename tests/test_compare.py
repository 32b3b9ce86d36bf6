"""compare from end to end: trains alike, goes on after a kill, refuses what cannot be compared."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mezzotint as mz
from mezzotint import api, cli
from mezzotint.errors import ConfigError, MissingInputError, UsageError
from mezzotint.progress import Silent

NUMBER = (int, float)
OPTIONS: dict[str, Any] = {"batch": 16, "previews": 1, "checkpoint_seconds": 0.05}
CHILD = """
import sys
import mezzotint as mz
from mezzotint.progress import Terminal
mz.compare(sys.argv[1], families=("autoencoder", "vae"), budget=4, out=sys.argv[2],
           features="pixels", batch=16, previews=1, checkpoint_seconds=0.05)
"""


@pytest.fixture(scope="module")
def digits() -> mz.Images:
    images = mz.load_images("digits", size=16)
    rows = np.concatenate([images.train_rows[:200], images.held_out_rows[:60]])
    sides = {"train_rows": rows[:200], "held_out_rows": rows[200:]}
    return replace(images, rows=rows, fingerprint="f" * 64, **sides)


class Lines(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def made(digits: mz.Images, tmp_path_factory: pytest.TempPathFactory) -> api.Compared:
    out = tmp_path_factory.mktemp("compared")
    families = ("autoencoder", "vae", "gan")
    return mz.compare(digits, (), families, 1, out, 5, "pixels", **OPTIONS)  # type: ignore[no-any-return]


def test_all_are_trained_and_measured_alike(made: api.Compared) -> None:
    headers = [
        json.loads((made.report.parent / name / "run.json").read_text())
        for name in ("autoencoder", "vae", "gan")
    ]
    assert len({header["data"]["fingerprint"] for header in headers}) == 1
    assert {(h["recipe"]["budget"], h["recipe"]["seed"]) for h in headers} == {(1.0, 5)}
    assert {h["recipe"]["batch"] for h in headers} == {16}
    trials = {trial.contender.name: trial for trial in made.comparison.trials}
    assert list(trials) == ["autoencoder", "vae", "gan"]
    for trial in trials.values():
        looked = {value.features for value in trial.found.values() if value.features}
        assert len(looked) == 1
        assert trial.contender.seconds == pytest.approx(1, abs=0.8)
    assert made.comparison.cautions == []
    assert trials["vae"].found["frechet"].n == trials["gan"].found["frechet"].n == 60
    assert len(trials["vae"].time["frechet"]) >= 4
    assert trials["autoencoder"].samples is None
    assert trials["gan"].rebuilt is None


def test_the_file_of_numbers_keeps_its_schema(made: api.Compared) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    told = json.loads(made.json.read_text(), parse_constant=refuse)
    assert told == json.loads(json.dumps(made.comparison.as_dict()))
    kinds: dict[str, Any] = {"schema": int, "headline": list, "data": dict, "how": dict,
             "cautions": list, "models": list, "ranks": dict}  # fmt: skip
    assert {key: type(part) for key, part in told.items()} == kinds
    model_kinds: dict[str, Any] = {
        "name": str, "family": str, "path": str, "trained_seconds": NUMBER, "images_seen": int,
        "cautions": list, "values": dict, "over_time": dict, "over_cost": list,
        "nearest_training_images": list, "good_for": list, "spectra": dict,
    }  # fmt: skip
    for each in told["models"]:
        assert each.keys() == model_kinds.keys()
        assert all(isinstance(each[key], kind) for key, kind in model_kinds.items())
        assert each["good_for"]
    for each in told["ranks"].values():
        assert each.keys() == {"best", "tied", "why", "better"}
        assert bool(each["best"]) + bool(each["tied"]) + bool(each["why"]) == 1
    assert told["how"]["extractor"].startswith("pixels@")
    assert told["data"]["held_out"] == 60


def test_a_finished_comparison_trains_nothing_again(digits: mz.Images, made: api.Compared) -> None:
    models = sorted(made.report.parent.glob("*/model/model.safetensors"))
    before = [(path.stat().st_mtime_ns, path.read_bytes()) for path in models]
    assert len(before) == 3
    lines = Lines()
    again = mz.compare(
        digits, (), ("autoencoder", "vae", "gan"), 1, made.report.parent, 5, "pixels",
        progress=lines, **OPTIONS,
    )  # fmt: skip
    assert [(path.stat().st_mtime_ns, path.read_bytes()) for path in models] == before
    assert sum("finished already" in line for line in lines.said) == 3
    assert len(lines.said) == len(set(lines.said))
    for one, two in zip(made.comparison.trials, again.comparison.trials, strict=True):
        same = {key: value for key, value in one.found.items() if key != "images_per_s"}
        assert {k: v for k, v in two.found.items() if k != "images_per_s"} == same
    with pytest.raises(ConfigError, match="started with seed=5, this asks for 6"):
        mz.compare(digits, (), ("autoencoder", "vae"), 1, made.report.parent, 6, **OPTIONS)


def test_finished_runs_are_compared_as_they_are(
    digits: mz.Images, made: api.Compared, tmp_path: Path
) -> None:
    folder = made.report.parent
    mine = tmp_path / "runs" / "mine"
    shutil.copytree(folder / "vae", mine)
    found = mz.compare(digits, [mine, folder / "gan" / "model"], out=tmp_path, features="pixels")
    names = [trial.contender.name for trial in found.comparison.trials]
    assert names == ["mine", "model"]
    ours = {trial.contender.name: trial.found for trial in made.comparison.trials}
    theirs = {trial.contender.name: trial.found for trial in found.comparison.trials}
    assert theirs["mine"]["frechet"] == ours["vae"]["frechet"]
    assert theirs["model"]["coverage"] == ours["gan"]["coverage"]
    assert found.comparison.trials[1].contender.cautions
    assert found.comparison.cautions
    assert not (tmp_path / "vae").exists()
    assert found.comparison.how["budget_seconds"] is None


def test_runs_of_one_name_are_told_apart_by_their_paths(
    digits: mz.Images, made: api.Compared, tmp_path: Path
) -> None:
    folder = made.report.parent
    places = [folder / "vae" / "model", folder / "gan" / "model"]
    found = mz.compare(digits, places, out=tmp_path, features="pixels", samples=50, limit=50)
    names = [trial.contender.name for trial in found.comparison.trials]
    assert names == [str(place) for place in places]
    assert found.comparison.trials[0].found["frechet"].n == 50


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"families": ["vae"]}, UsageError),
        ({"families": []}, UsageError),
        ({"families": ["vae", "vae"]}, UsageError),
        ({"families": ["vae", "vea"]}, UsageError),
        ({"runs": ["only"]}, UsageError),
        ({"runs": ["no", "where"]}, MissingInputError),
        ({"budget": "soon"}, ConfigError),
        ({"features": "eyes"}, UsageError),
        ({"samples": 0}, UsageError),
        ({"latent": 8}, ConfigError),  # the GAN has none: said before anything is trained
        ({"size": 4}, ConfigError),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_said_before_training(
    wrong: dict[str, Any], error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mezzotint.api.comparing.train", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(error):
        mz.compare("digits", **{"budget": 1, "out": tmp_path / "out", **wrong})
    assert not (tmp_path / "out").exists()


def test_a_killed_comparison_goes_on(tmp_path: Path) -> None:
    images, out = tmp_path / "few.npz", tmp_path / "out"
    whole = mz.load_images("digits", size=16)
    np.savez(images, images=whole.pixels[:300])
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(images), str(out)])
    try:
        _await(lambda: len(list((out / "vae" / "checkpoints").glob("[0-9]*/COMPLETE"))) >= 2, child)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not (out / "vae" / "model").exists()
    assert not (out / "report.html").exists()
    first = (out / "autoencoder" / "model" / "model.safetensors").read_bytes()
    complete = (out / "vae" / "checkpoints").glob("[0-9]*/COMPLETE")
    seen = max(int(path.parent.name) for path in complete)
    lines = Lines()
    found = mz.compare(
        images, (), ("autoencoder", "vae"), 4, out, 0, "pixels", progress=lines, **OPTIONS
    )
    assert f"{out / 'autoencoder'} is finished already" in lines.said
    resumed = [line for line in lines.said if line.startswith(f"resuming {out / 'vae'} at ")]
    assert resumed
    assert 0 < int(resumed[0].split()[-2].replace(",", "")) <= seen
    assert (out / "autoencoder" / "model" / "model.safetensors").read_bytes() == first
    assert found.report.is_file()
    assert not list(out.glob(".*.tmp"))


def _await(ready: Any, child: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 120
    while not ready():
        assert child.poll() is None, "the comparison ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_command_says_what_came_out(
    tmp_path: Path, made: api.Compared, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(made.report.parent / name) for name in ("autoencoder", "vae")]
    words = ["compare", "digits", *runs, "--features", "pixels", "--samples", "60"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--out", str(tmp_path / "here")])
    out, _ = capsys.readouterr()
    assert not ended.value.code
    assert f"report: {tmp_path / 'here' / 'report.html'}" in out
    assert "new images" in out
    with pytest.raises(SystemExit):
        cli.main([*words, "--out", str(tmp_path / "here"), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == 1
    cautions = [each["cautions"] for each in told["models"]]  # other rows of digits than these
    assert all("may have seen the held-out ones" in "".join(each) for each in cautions)


@pytest.mark.slow
def test_four_families_with_diffusion(digits: mz.Images, tmp_path: Path) -> None:
    found = mz.compare(digits, budget=5, out=tmp_path, features="pixels", **OPTIONS)
    trials = {trial.contender.name: trial for trial in found.comparison.trials}
    assert list(trials) == ["autoencoder", "vae", "gan", "diffusion"]
    assert [point.note for point in trials["diffusion"].cost] == [
        "20 steps", "10 steps, its own", "5 steps", "2 steps",
    ]  # fmt: skip
    assert found.report.stat().st_size < 1_000_000
