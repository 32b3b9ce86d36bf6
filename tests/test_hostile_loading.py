"""Loading what an enemy made: nothing runs, nothing outside is opened, and the error is ours."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile_models as enemy
import pytest

import mezzotint
from mezzotint.config import to_dict
from mezzotint.families.vae import VAE
from mezzotint.runs import checkpoint
from mezzotint.runs.folder import RunFolder

SECONDS, MEGABYTES = 2.0, 512
SHAPE: dict[str, Any] = {"size": (16, 16), "widths": (4, 8), "latent": 3}
Case = tuple[str, str, list[str]]


def good_model(folder: Path) -> Path:
    VAE(**SHAPE).save_pretrained(folder)
    return folder


def good_run(path: Path) -> Path:
    """An interrupted run with one checkpoint."""
    model, run = VAE(**SHAPE), RunFolder(path)
    run.write_header({"family": "vae", "model": to_dict(model.config), "recipe": {}, "data": {}})
    tensors = {"model": model.state_dict(), "ema": model.state_dict(), "optimizer": {}}
    checkpoint.save(run.checkpoints, 64, tensors, {"images": 64})
    return path


def made(base: Path, good: Path, table: dict[str, tuple[enemy.Make, tuple[int, ...]]]) -> list[Any]:
    """One damaged copy of ``good`` a row of the table: (row, folder)."""
    places = []
    for number, (name, (make, _)) in enumerate(table.items()):
        folder = base / f"case{number:02d}" / "it"
        shutil.copytree(good, folder)
        make(folder)
        places.append((name, folder))
    return places


def configs(base: Path) -> list[tuple[str, Path]]:
    base.mkdir()
    places = []
    for number, (name, (text, _)) in enumerate(enemy.YAML.items()):
        path = base / f"{number:02d}.yaml"
        path.write_bytes(text)
        places.append((name, path))
    return places


def all_cases(base: Path) -> list[Case]:
    models = made(base / "models", good_model(base / "model"), enemy.MODELS)
    runs = made(base / "runs", good_run(base / "run"), enemy.RUNS)
    cases: list[Case] = [(f"load {n}", str(f), ["load", str(f)]) for n, f in [*models, *runs]]
    cases += [
        (f"sample {n}", str(f), ["sample", str(f), "-n", "1", "--out", str(f / "out.png")])
        for n, f in [*models, *runs]
        if n != "folder full of code"
    ]
    cases += [(f"info {n}", str(f), ["info", str(f)]) for n, f in [*models, *runs]]
    cases += [
        (f"yaml {n}", str(p.parent), ["train", "vae", "digits", "--config", str(p)])
        for n, p in configs(base / "yaml")
    ]
    enemy.pickled_pack(base / "pack")
    enemy.pickled_npz(base / "npz" / "a.npz")
    cases += [("info pickled pack", str(base / "pack"), ["info", str(base / "pack")])]
    npz = str(base / "npz" / "a.npz")
    return [*cases, ("check pickled npz", str(base / "npz"), ["data", "check", npz, "--no-plan"])]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    base = tmp_path_factory.mktemp("hostile")
    cases = all_cases(base)
    run, model = str(base / "run"), str(base / "model")
    drawn = str(base / "warm.png")
    (base / "warm.yaml").write_text("latent: 3")
    warm = [["load", run], ["load", model], ["sample", model, "--out", drawn], ["info", model]]
    enemy.good_npz(base / "warm.npz")
    check = ["data", "check", "--no-plan"]
    warm += [["info", run], [*check, "digits"], [*check, str(base / "warm.npz")]]
    good = ["--size", "16", "--images", "64", "--batch", "64", "--set", "widths=4", "--quiet"]
    warm += [["train", "vae", "digits", "--config", str(base / "warm.yaml"), *good]]
    warm[-1] += ["--out", str(base / "warm")]
    plan = {"warm": warm, "cases": cases, "package": str(Path(mezzotint.__file__).parent)}
    (base / "cases.json").write_text(json.dumps(plan))
    child = Path(__file__).with_name("hostile_child.py")
    command = [sys.executable, str(child), str(base / "cases.json"), str(base / "report.json")]
    done = subprocess.run(command, cwd=base, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads((base / "report.json").read_text())
    assert len(found) == len(cases)
    assert not list(base.rglob("canary")), "a payload ran"
    yield found
    shutil.rmtree(base)


TABLES: dict[str, dict[str, tuple[Any, tuple[int, ...]]]] = {
    "models": enemy.MODELS,
    "runs": enemy.RUNS,
}
LOADED = [(name, codes) for table in TABLES.values() for name, (_, codes) in table.items()]


@pytest.mark.parametrize(("name", "codes"), LOADED, ids=[name for name, _ in LOADED])
def test_a_hostile_folder_is_refused_by_python(
    name: str, codes: tuple[int, ...], report: dict[str, Any]
) -> None:
    ended = report[f"load {name}"]
    assert ended["code"] in codes, ended
    if codes != (0,):
        assert ended["kind"].endswith("Error"), ended


@pytest.mark.parametrize(("name", "codes"), LOADED, ids=[name for name, _ in LOADED])
def test_a_hostile_folder_is_refused_by_the_command(
    name: str, codes: tuple[int, ...], report: dict[str, Any]
) -> None:
    if codes == (0,):
        pytest.skip("not an error")
    ended = report[f"sample {name}"]
    assert ended["code"] in codes, ended
    assert ended["text"].startswith("error: ")
    assert "where: " in ended["text"]
    assert "to do: " in ended["text"]
    assert "Traceback" not in ended["text"]
    assert "\x1b" not in ended["text"]


@pytest.mark.parametrize("name", [name for name, _ in LOADED])
def test_info_describes_or_refuses(name: str, report: dict[str, Any]) -> None:
    ended = report[f"info {name}"]
    assert ended["code"] in (0, 65, 66, 77, 78), ended


@pytest.mark.parametrize("name", enemy.YAML)
def test_a_hostile_config_is_refused(name: str, report: dict[str, Any]) -> None:
    ended = report[f"yaml {name}"]
    assert ended["code"] in enemy.YAML[name][1], ended


@pytest.mark.parametrize("name", ["info pickled pack", "check pickled npz"])
def test_pickled_arrays_are_refused(name: str, report: dict[str, Any]) -> None:
    assert report[name]["code"] == 65, report[name]


def test_nothing_runs_and_nothing_outside_is_opened(report: dict[str, Any]) -> None:
    seen = {name: ended["seen"] for name, ended in report.items() if ended["seen"]}
    assert not seen


def test_every_refusal_is_quick_and_small(report: dict[str, Any]) -> None:
    slow = {name: ended["seconds"] for name, ended in report.items() if ended["seconds"] > SECONDS}
    assert not slow
    assert max(ended["peak"] for ended in report.values()) < MEGABYTES


def test_the_audit_would_see_a_payload(tmp_path: Path) -> None:
    """The hook itself works: loading the same pickle on purpose is noticed."""
    code = (
        "import sys, pickle; seen = []; sys.addaudithook(lambda e, a: seen.append(e)); "
        "pickle.load(open(sys.argv[1], 'rb')); print('os.system' in seen)"
    )
    path = tmp_path / "payload"
    path.write_bytes(enemy.pickle.dumps(enemy.Payload()))
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    assert (tmp_path / "canary").exists()
