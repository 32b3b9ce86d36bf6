"""Runs of the real command line that are cheap enough to kill, starve and poison by the dozen.

Importing torch costs seconds, a tiny training half of one. A zygote process (:func:`zygote`)
imports everything once, stays single-threaded, and forks a child for each job; the child calls
``mezzotint.cli.main`` as the console script does. ``MEZZOTINT_FAULT`` and the sabotages of
``training_sabotage`` reach the child alone.
"""

import atexit
import functools
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mezzotint
from mezzotint.runs import checkpoint
from mezzotint.runs.folder import RunFolder

KILLED = -signal.SIGKILL
BATCH, STEPS = 32, 14
COMMON = {"widths": "8,16", "checkpoint_seconds": 0, "previews": 2, "log_every": 3}
OF_FAMILY: dict[str, dict[str, Any]] = {
    "autoencoder": {"latent": 4},
    "vae": {"latent": 4},
    "diffusion": {},
    "gan": {},
    "kl-vae": {"critic_width": 16, "critic_layers": 1},
    "text-to-image": {
        "coder": '{"widths":[8,16],"latent":2,"adversarial":0}',
        "text_width": 16,
        "text_layers": 1,
    },
}
ADAM = {"optimizer": "adam", "lr": 0.002, "decay": "cosine"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "denoising": ("autoencoder", {**ADAM, "corruption": "gaussian,patches", "noise": 0.3}),
    "vae": (
        "vae",
        {**ADAM, "optimizer": "adamw", "beta_warmup": 0.5, "max_grad_norm": 1, "flip": True},
    ),
    "micro": ("autoencoder", {**ADAM, "micro_batch": 12, "loss": "l1", "ema": 0.1}),
    "muon": ("vae", {"optimizer": "muon", "lr": 0.01, "likelihood": "bernoulli"}),
}
DIFFUSION: dict[str, tuple[str, dict[str, Any]]] = {
    "labels": ("diffusion", {"weighting": "min-snr", "flip": True}),
    "groups": ("diffusion", {"classes": "", "groups": 6, "micro_batch": 12}),
    "groups-in-classes": (
        "diffusion",
        {"groups": 20, "jitter": 0.2, "optimizer": "adamw", "lr": 0.002},
    ),
    "distilling": ("diffusion", {"groups": 20, "distill": True}),
}
GANS: dict[str, tuple[str, dict[str, Any]]] = {
    "gan": ("gan", {"latent": 6, "groups": 0, "previews": 5}),
    "kl-vae": ("kl-vae", {"latent": 3}),
}
TEXT: dict[str, tuple[str, dict[str, Any]]] = {
    "text": ("text-to-image", {"share": 0.4}),
    "text-moved": ("text-to-image", {"share": 0.4, "jitter": 0.1}),
}


@dataclass(frozen=True)
class Outcome:
    """How a job ended: exit code (negative: the signal) and what it printed."""

    code: int
    output: str


@dataclass(frozen=True)
class Job:
    """One call of the command line in a child of the zygote.

    Attributes:
        argv: words after ``mezzotint``.
        env: extra environment of the child.
        sabotage: name and arguments of functions of ``training_sabotage``.
        kill_after: seconds until SIGKILL; None lets it live.
    """

    argv: list[str]
    env: Mapping[str, str] = field(default_factory=dict)
    sabotage: Mapping[str, Any] = field(default_factory=dict)
    kill_after: float | None = None


class Zygote:
    """A warm process that forks jobs."""

    def __init__(self, home: Path) -> None:
        self._logs = home / "logs"
        self._logs.mkdir()
        env = {**os.environ, "OMP_NUM_THREADS": "1", "MEZZOTINT_HOME": str(home / "home")}
        roots = [Path(__file__).parent, Path(mezzotint.__file__).parents[1]]  # the code under test
        env |= {"MEZZOTINT_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(map(str, roots))}
        script = [sys.executable, str(Path(__file__).with_name("training_zygote.py"))]
        self._process = subprocess.Popen(
            script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def run(self, *jobs: Job) -> list[Outcome]:
        """Start the jobs together and wait for all of them."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        logs = [self._logs / f"{number}.txt" for number in range(len(jobs))]
        orders = [{**vars(job), "log": str(log)} for job, log in zip(jobs, logs, strict=True)]
        self._process.stdin.write(json.dumps(orders) + "\n")
        self._process.stdin.flush()
        codes = json.loads(self._process.stdout.readline())
        return [Outcome(code, log.read_text()) for code, log in zip(codes, logs, strict=True)]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@functools.cache
def home() -> Path:
    """A folder of this process, in memory where the system has such a place: fsync is free."""
    shared = Path("/dev/shm")
    place = shared if shared.is_dir() and os.access(shared, os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="mezzotint-tests-", dir=place))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@functools.cache
def zygote() -> Zygote:
    """The zygote of this process."""
    started = Zygote(home())
    atexit.register(started.close)
    return started


@functools.cache
def data() -> Path:
    """8-pixel digits as a pack, which loads at once."""
    path = home() / "digits"
    outcome = call(["data", "pack", "digits", str(path), "--size", "8"])
    assert outcome.code == 0, outcome.output
    return path


def call(argv: list[str]) -> Outcome:
    """Run a command line."""
    return zygote().run(Job(argv))[0]


def command(case: str, out: Path, **options: Any) -> list[str]:
    """The words of a training command of a case."""
    family, own = {**CASES, **DIFFUSION, **GANS, **TEXT}[case]
    settings = {**COMMON, **OF_FAMILY[family], **own, **options}
    flags = ["--distill"] if settings.pop("distill", False) else []
    steps = settings.pop("steps", STEPS)
    source = settings.pop("data", None) or data()
    batch = settings.pop("batch", BATCH)
    words = ["train", family, str(source), "--out", str(out), "--batch", str(batch)]
    words += ["--images", str(batch * steps), *flags, "--set"]
    return words + [f"{key}={value}" for key, value in settings.items()]


def training(
    case: str, out: Path, fault: str = "", hurt: Mapping[str, Any] | None = None, **options: Any
) -> Job:
    """A job that trains a case.

    Args:
        case: a key of ``CASES`` or ``DIFFUSION``.
        out: the run folder.
        fault: a point where the process dies, ``name:count``.
        hurt: sabotages; ``curve=True`` in it lets the curve be drawn.
        options: of the run; ``steps`` and ``data`` too.
    """
    sabotage = {"no_curve": {}, "short_distilling": {}, **(hurt or {})}
    if sabotage.pop("curve", False):
        del sabotage["no_curve"]
    env = {"MEZZOTINT_FAULT": fault} if fault else {}
    return Job(command(case, out, **options), env, sabotage)


def ranks(job: Job, world: int = 2) -> list[Job]:
    """A job as the processes of a distributed run, with the environment ``torchrun`` gives."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"LOCAL_WORLD_SIZE": str(world)}
    return [
        replace(job, env={**job.env, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(world)
    ]


def train(case: str, out: Path, fault: str = "", **more: Any) -> Outcome:
    """Run :func:`training` and wait for it."""
    return zygote().run(training(case, out, fault, **more))[0]


@functools.cache
def reference(case: str, curve: bool = False) -> Path:
    """The folder of an unbroken run."""
    path = home() / f"reference-{case}-{curve}"
    outcome = train(case, path, hurt={"curve": curve})
    assert outcome.code == 0, outcome.output
    return path


def copy_of(folder: Path, to: Path) -> Path:
    """A copy of a run folder."""
    return Path(shutil.copytree(folder, to))


def interrupted(case: str, out: Path, step: int = 6) -> Path:
    """A run killed in the update of a step."""
    outcome = train(case, out, fault=f"step.update:{step}")
    assert outcome.code == KILLED, outcome.output
    return out


def newest(folder: Path) -> checkpoint.Checkpoint:
    """The newest good checkpoint."""
    found = RunFolder(folder).newest_checkpoint()
    assert found is not None
    return found


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every part of the newest checkpoint, the final model and each picture."""
    saved = newest(folder)
    found = {"checkpoint": saved.path.name}
    for stem, tensors in saved.tensors.items():
        digest = hashlib.sha256()
        for name in sorted(tensors):
            tensor = tensors[name]
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.numpy().tobytes())
        found[stem] = digest.hexdigest()
    for path in [*(folder / "model").iterdir(), *(folder / "samples").iterdir()]:
        if path.name != "README.md":  # it tells the seconds the training took
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def history(folder: Path) -> list[dict[str, Any]]:
    """The raw history, every line parsed, without the clock."""
    lines = [json.loads(text) for text in (folder / "history.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def counters(folder: Path) -> dict[str, Any]:
    """The counters of the newest checkpoint without the clock."""
    return {key: value for key, value in newest(folder).state.items() if key != "seconds"}


def files(folder: Path) -> list[str]:
    """Every path below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def litter(folder: Path) -> list[str]:
    """Temporary files and folders below a folder."""
    return [name for name in files(folder) if ".tmp" in name]


def require_equal(folder: Path, unbroken: Path) -> None:
    """Check that a run ended exactly like the unbroken one and left nothing else behind."""
    assert digests(folder) == digests(unbroken)
    assert history(folder) == history(unbroken)
    assert counters(folder) == counters(unbroken)
    assert files(folder) == files(unbroken)


def wait_until(true: Any, seconds: float = 60.0) -> None:
    """Poll until ``true()``."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
