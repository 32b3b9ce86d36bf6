"""The command line: errors a user can act on, the same pictures as Python, plain output."""

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mezzotint as mz
from mezzotint import api, cli
from mezzotint.images import to_uint8

SMALL: dict[str, Any] = {"size": 16, "widths": (4, 8), "latent": 3}
TRAIN = ["--size", "16", "--batch", "64", "--set", "widths=4,8", "latent=3", "--images", "128"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "MEZZOTINT_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: its exit code, standard output and standard error."""

    def call(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models, and with all that a user could name by mistake."""
    base = tmp_path_factory.mktemp("place")
    mz.VAE(**SMALL).save_pretrained(base / "vae")
    mz.Autoencoder(**SMALL).save_pretrained(base / "ae")
    for name in ("empty", "texts", "unfinished"):
        (base / name).mkdir()
    (base / "texts" / "notes.txt").write_text("no picture")
    (base / "file").write_text("no folder")
    (base / "archive.rar").write_bytes(b"Rar!\x1a\x07\x01\x00")
    (base / "broken.zip").write_bytes(b"PK\x03\x04 and nothing after")
    (base / "broken.yaml").write_text("lr: [1, 2")
    (base / "list.json").write_text("[1, 2]")
    (base / "typo.yaml").write_text("latnt: 3")
    objects = np.empty(1, dtype=object)
    objects[0] = {}
    np.savez(base / "objects.npz", images=objects)
    return base


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run made by the command line, with --set a=1 b=2."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "vae", "digits", *TRAIN, "--out", str(out), "--quiet"])
    assert ended.value.code == 0
    return out


# command ({p} is the folder above), exit code, words of the message
ERRORS: list[tuple[str, int, str]] = [
    ("train vea digits", 2, "did you mean 'vae'?"),
    ("train vae digitz", 66, "did you mean 'digits'?"),
    ("train vae {p}/nothing", 66, "nothing"),
    ("train vae {p}/empty", 65, "no usable image"),
    ("train vae {p}/texts", 65, "no usable image"),
    ("train vae {p}/file", 65, "unknown kind"),
    ("train vae {p}/archive.rar", 65, "'.rar'"),
    ("train vae {p}/broken.zip", 65, "broken.zip"),
    ("train vae {p}/objects.npz", 65, "objects.npz"),
    ("train vae {p}/vae", 65, "vae"),
    ("train vae digits --preset clasic", 78, "did you mean 'classic'?"),
    ("train vae digits --set latnt=3", 78, "did you mean 'latent'?"),
    ("train vae digits --set latent=0", 78, "from 1 to 65536"),
    ("train vae digits --set latent=many", 78, "whole number"),
    ("train vae digits --set latent", 78, "key=value"),
    ("train vae digits --set likelihood=gauss", 78, "did you mean 'gaussian'?"),
    ("train vae digits --set betas=1", 78, "2 values"),
    ("train vae digits --size 16 --set widths=1,1,1,1,1,1,1", 78, "widths"),
    ("train autoencoder digits --set corruption=gausian", 78, "did you mean 'gaussian'?"),
    ("train vae digits --images ten", 78, "--images"),
    ("train vae digits --images 0", 78, "50k or 2M"),
    ("train vae digits --budget soon", 78, "10m"),
    ("train vae digits --budget 0s", 78, "--budget"),
    ("train vae digits --images 10k --budget 10m", 78, "one of them"),
    ("train vae digits --size 3", 78, "from 8 to 1024"),
    ("train vae digits --size huge", 78, "48x32"),
    ("train vae digits --batch 0", 78, "batch"),
    ("train vae digits --seed -1", 78, "seed"),
    ("train vae digits --config {p}/none.yaml", 66, "none.yaml"),
    ("train vae digits --config {p}/broken.yaml", 78, "broken.yaml, line 1"),
    ("train vae digits --config {p}/list.json", 78, "mapping"),
    ("train vae digits --config {p}/typo.yaml", 78, "did you mean 'latent'?"),
    ("train vae digits --config {p}", 66, "not a plain file"),
    ("train vae digits --size 16 --images 64 --out {p}/file", 73, "file"),
    ("train vae digits --size 16 --images 64 --out /proc/run", 73, "/proc/run"),
    ("sample {p}/nothing", 66, "no run or model"),
    ("sample {p}/empty", 66, "no run or model"),
    ("sample {p}/ae", 2, "train a vae"),
    ("sample {p}/vae -n 0", 2, "n=0"),
    ("sample {p}/vae --batch 0", 2, "batch=0"),
    ("sample {p}/vae --seed -1", 2, "seed=-1"),
    ("sample {p}/vae --seed 99999999999999999999", 2, "seed"),
    ("sample {p}/vae --out {p}/file/x.png", 73, "file"),
    ("sample {p}/vae --out /proc/x.png", 73, "/proc/x.png"),
    ("reconstruct {p}/vae digitz", 66, "did you mean 'digits'?"),
    ("reconstruct {p}/vae digits -n 0", 2, "n=0"),
    ("reconstruct {p}/vae digits --noise -1", 2, "noise=-1"),
    ("reconstruct {p}/vae digits --noise nan", 2, "noise=nan"),
    ("evaluate {p}/vae digits --samples 0", 2, "samples=0"),
    ("evaluate {p}/vae digits --limit 0", 2, "limit=0"),
    ("evaluate {p}/vae digits --draws 0", 2, "draws=0"),
    ("evaluate {p}/vae digits --features data2", 2, "did you mean 'data'"),
    ("evaluate {p}/vae digits --samples 99999", 2, "held-out images to be compared with"),
    ("evaluate {p}/nothing digits", 66, "no run or model"),
    ("info {p}/nothing", 66, "autoencoder, vae"),
    ("info {p}/file", 66, "autoencoder, vae"),
    ("data check {p}/empty", 65, "no usable image"),
    ("data check {p}/objects.npz", 65, "objects.npz"),
    ("data pack digits {p}/texts", 73, "texts"),
    ("data pack digits {p}/new --size 3", 2, "from 8 to 1024"),
]


@pytest.mark.parametrize(("command", "code", "words"), ERRORS, ids=[row[0] for row in ERRORS])
def test_an_error_says_what_where_and_what_to_do(
    command: str, code: int, words: str, place: Path, run: Run
) -> None:
    found, _, err = run(*command.format(p=place).split())
    assert found == code, err
    assert re.search(r"^error: .+\[MZ-[A-Z]+\]$", err, re.MULTILINE), err
    assert re.search(r"^  where: \S", err, re.MULTILINE), err
    assert re.search(r"^  to do: \S", err, re.MULTILINE), err
    assert words in err
    assert "Traceback" not in err


UNREADABLE = ["train vae", "train", "bogus", "sample", "sample x --bogus", "data", "data check"]
UNREADABLE += ["reconstruct m digits --noise loud", "train vae digits --channels 2", ""]


@pytest.mark.parametrize("command", UNREADABLE)
def test_a_command_that_cannot_be_read_points_to_its_help(command: str, run: Run) -> None:
    code, out, err = run(*command.split())
    assert code == 2
    assert "--help" in err
    assert "Traceback" not in err
    assert not out


def test_a_wrong_value_is_found_before_the_data_is_read(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "load_images", lambda *_, **__: pytest.fail("the data was read"))
    assert run("train", "vae", "digits", "--set", "latent=0")[0] == 78


def test_debug_shows_the_traceback(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(mz.MezzotintError):
        cli.main(["sample", str(place / "nothing"), "--debug"])
    monkeypatch.setenv("MEZZOTINT_DEBUG", "1")
    with pytest.raises(mz.MezzotintError):
        cli.main(["sample", str(place / "nothing")])


@pytest.mark.parametrize("debug", [False, True])
def test_a_bug_exits_70_and_asks_to_be_reported(
    debug: bool, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(api, "environment", broken)
    if debug:
        with pytest.raises(ZeroDivisionError):
            cli.main(["env", "--debug"])
        return
    code, _, err = run("env")
    assert code == 70
    assert "ZeroDivisionError: of ours" in err
    assert "--debug" in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(13, "Permission denied", "/x"), 73),
        (OSError(28, "No space left on device", "/x"), 74),
        (OSError(5, "Input/output error", "/x"), 74),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_of_the_system_have_codes(
    error: BaseException, code: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing() -> None:
        raise error

    monkeypatch.setattr(api, "environment", failing)
    assert run("env")[0] == code


def test_names_from_files_cannot_write_to_the_terminal(place: Path, run: Run) -> None:
    code, _, err = run("train", "vae", place / "\x1b]0;owned\x07")
    assert code == 66
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", err)


HELPED = ["", "train", "sample", "reconstruct", "evaluate", "data", "data check", "data pack"]


@pytest.mark.parametrize("command", [*HELPED, "info", "env"])
def test_help_of_every_command(command: str, run: Run) -> None:
    code, out, err = run(*command.split(), "--help")
    assert code == 0
    assert "usage: mezzotint" in out
    assert not err


def seconds_of(*words: str) -> float:
    """Best of three starts of a fresh interpreter, less nothing."""

    def once() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        return time.perf_counter() - start

    return min(once() for _ in range(3))


def test_top_level_help_is_quick() -> None:
    assert seconds_of("-m", "mezzotint", "--help") < 0.5 * slowness()


def test_import_is_quick_and_without_heavy_packages() -> None:
    probe = (
        "import sys, time; start = time.perf_counter(); import mezzotint; "
        "print(time.perf_counter() - start); print(*sys.modules)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
        for _ in range(3)
    ]
    assert min(float(done.stdout.split("\n")[0]) for done in runs) < 0.15 * slowness()
    loaded = set(runs[0].stdout.split("\n")[1].split())
    assert not loaded & {"torch", "numpy", "PIL", "tyro", "yaml", "matplotlib", "rich"}


def test_a_command_loads_no_package_of_another_family() -> None:
    code = "import sys, mezzotint.api; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "torch" in loaded
    assert not loaded & {"diffusers", "transformers", "peft", "accelerate", "sklearn", "matplotlib"}


def slowness() -> float:
    """How much longer than on an idle machine a bare interpreter takes to start, at least 1."""
    return max(1.0, seconds_of("-c", "pass") / 0.05)


@pytest.mark.parametrize(
    ("words", "spread"),
    [
        ("--set a=1 b=2", "--set a=1 --set b=2"),
        ("--set a=1 --set b=2", "--set a=1 --set b=2"),
        ("--set a=1 b=2 c=3 --quiet", "--set a=1 --set b=2 --set c=3 --quiet"),
        ("train vae x=1 --set a=1", "train vae x=1 --set a=1"),
        ("--set a=1 --out b=2 c=3", "--set a=1 --out b=2 c=3"),
        ("--set", "--set"),
        ("--set a", "--set a"),
        ("--set widths=1,2 noise=.5", "--set widths=1,2 --set noise=.5"),
    ],
)
def test_set_takes_several_pairs(words: str, spread: str) -> None:
    assert cli.spread_assignments(words.split()) == spread.split()


def test_set_reaches_the_model(trained: Path) -> None:
    header = json.loads((trained / "run.json").read_text())
    assert header["model"]["widths"] == [4, 8]
    assert header["model"]["latent"] == 3
    assert header["recipe"]["batch"] == 64


def test_set_wins_over_the_config_file(place: Path, run: Run, tmp_path: Path) -> None:
    config = tmp_path / "options.yaml"
    config.write_text("latent: 5\nwidths: [4, 8]\nlr: 0.01\n")
    words = ["train", "vae", "digits", "--config", config, "--set", "latent=2", "--quiet"]
    code, *_ = run(*words, "--size", 16, "--images", 64, "--batch", 64, "--out", tmp_path / "run")
    assert code == 0
    header = json.loads((tmp_path / "run" / "run.json").read_text())
    assert header["model"]["latent"] == 2
    assert header["recipe"]["lr"] == 0.01


@pytest.mark.parametrize("batch", [1, 4, 16])
def test_arrays_have_the_bytes_of_python_at_any_batch(
    batch: int, trained: Path, run: Run, tmp_path: Path
) -> None:
    api.sample(trained, n=16, seed=7, out=tmp_path / "python.npz")
    code, out, _ = run(
        *("sample", trained, "-n", 16, "--seed", 7, "--batch", batch, "--out", "command.npz")
    )
    assert code == 0
    assert "command.npz" in out
    assert Path("command.npz").read_bytes() == (tmp_path / "python.npz").read_bytes()
    with np.load("command.npz", allow_pickle=False) as arrays:
        assert arrays["images"].shape == (16, 16, 16, 1)
        assert arrays["seeds"].tolist() == list(range(7, 23))
        again = to_uint8(mz.load(trained).sample(seeds=range(7, 23), batch=5))
        np.testing.assert_array_equal(arrays["images"], again)


def test_pictures_have_the_bytes_of_python(trained: Path, run: Run, tmp_path: Path) -> None:
    api.sample(trained, n=6, seed=3, out=tmp_path / "python", batch=6)
    assert run("sample", trained, "-n", 6, "--seed", 3, "--batch", 4, "--out", "command")[0] == 0
    names = sorted(path.name for path in Path("command").iterdir())
    assert names == [f"{i:06d}.png" for i in range(6)]
    for name in names:
        assert (Path("command") / name).read_bytes() == (tmp_path / "python" / name).read_bytes()


def test_quiet_prints_nothing(trained: Path, run: Run) -> None:
    assert run("train", "vae", "digits", *TRAIN, "--out", trained, "--quiet") == (0, "", "")


def test_without_a_terminal_output_is_plain(run: Run, tmp_path: Path) -> None:
    code, out, err = run("train", "vae", "digits", *TRAIN, "--out", tmp_path / "run")
    assert code == 0
    assert "size: 16x16" in err
    assert out.startswith(f"run: {tmp_path / 'run'}\npicture: ")
    assert "\x1b" not in out + err
    for line in out.splitlines()[1:]:
        assert Path(line.removeprefix("picture: ")).is_file()


class Screen(io.StringIO):
    """Standard error of somebody who looks at it."""

    def isatty(self) -> bool:
        return True


def test_no_color_is_heeded(
    run: Run, trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    colour = re.compile(r"\x1b\[[\d;]*\b(3[0-8]|4[0-8]|9[0-7])[\d;]*m")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    assert run("train", "vae", "digits", *TRAIN, "--out", tmp_path / "run")[0] == 0
    assert "training vae" in screen.getvalue()
    assert not colour.search(screen.getvalue())


def test_json_is_json(place: Path, trained: Path, run: Run) -> None:
    for words in (("info", trained), ("info", place / "vae"), ("info", "vae"), ("env",)):
        code, out, _ = run(*words, "--json")
        assert code == 0
        assert json.loads(out)
    code, out, _ = run("evaluate", trained, "digits", "--limit", 16, "--draws", 4, "--json")
    assert code == 0
    assert {"mse", "nll_bound"} <= json.loads(out).keys()


def test_info_says_what_a_run_is(trained: Path, run: Run) -> None:
    code, out, _ = run("info", trained)
    assert code == 0
    assert "is: run" in out
    assert "status: finished" in out
    assert "images_seen: 128" in out


def test_reconstruct_and_evaluate_print_where_and_what(trained: Path, run: Run) -> None:
    code, out, _ = run(
        *("reconstruct", trained, "digits", "-n", 4, "--noise", 0.2, "--out", "r.png")
    )
    assert (code, out) == (0, "reconstructions: r.png\n")
    assert Path("r.png").is_file()
    code, out, _ = run("evaluate", trained, "digits", "--limit", 16, "--draws", 4)
    assert code == 0
    assert re.search(r"^mse +\S+ .*\[.+, .+\] +n=16", out, re.MULTILINE)


def test_data_check_and_pack(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = run("data", "check", "digits", "--json", "--no-plan")
    assert code == 0
    assert json.loads(out)["plan"] == []
    from mezzotint.training import estimates

    def probe(plan: Any, size: Any, channels: int, count: int) -> estimates.Probe:
        return estimates.Probe(size, 100.0, count, None, 1000 * channels)

    monkeypatch.setattr(estimates, "probe", probe)
    code, out, _ = run("data", "check", "digits", "--json", "--budget", "1h")
    planned = json.loads(out)["plan"]
    assert [each["family"] for each in planned] == ["autoencoder", "vae", "gan", "diffusion"]
    assert {each["probe"]["seconds"] for each in planned} == {1797}
    assert {(each["budget"], *each["probe"]["size"]) for each in planned} == {(3600, 16, 16)}
    code, out, _ = run("data", "pack", "digits", "packed", "--size", 16)
    assert code == 0
    assert "pack: packed" in out
    assert run("info", "packed")[1].startswith("is: pack")


def test_a_closed_pipe_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "mezzotint", "info", "vae"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
