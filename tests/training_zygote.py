"""The warm process behind ``training_kit``: reads lists of jobs, forks a child for each, reports.

Run as a script. It must never run a backward pass or anything else that starts threads itself.
"""

import json
import os
import signal
import sys
import time
from typing import Any

import torch

torch.set_num_threads(1)
torch.set_num_interop_threads(1)

import accelerate  # noqa: E402
import accelerate.state  # noqa: E402
import matplotlib.backends.backend_agg  # noqa: E402
import matplotlib.figure  # noqa: E402, F401
import PIL.Image  # noqa: E402
import sklearn.cluster  # noqa: E402
import sklearn.decomposition  # noqa: E402, F401
import training_sabotage  # noqa: E402

import mezzotint.api  # noqa: E402
import mezzotint.families.autoencoder  # noqa: E402
import mezzotint.families.diffusion  # noqa: E402
import mezzotint.families.vae  # noqa: E402, F401
from mezzotint import cli  # noqa: E402


def warm() -> None:
    """Trigger the imports that libraries put off until something is first used."""
    PIL.Image.init()
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], fused=True)
    accelerate.Accelerator(cpu=True)
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


def child(job: dict[str, Any]) -> None:
    """Be the command line; never returns."""
    code = 1
    try:
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(job["env"])
        for name, arguments in job["sabotage"].items():
            getattr(training_sabotage, name)(**arguments)
        cli.main(job["argv"])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def start(job: dict[str, Any]) -> int:
    """Fork a job; its process number."""
    number = os.fork()
    if number == 0:
        child(job)
    return number


def finish(number: int, kill_after: float | None) -> int:
    """Wait for a job, killing it when its time is over; its exit code."""
    end = None if kill_after is None else time.monotonic() + kill_after
    while end is not None and time.monotonic() < end:
        found, status = os.waitpid(number, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    if end is not None:
        os.kill(number, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


if __name__ == "__main__":
    warm()
    for line in sys.stdin:
        jobs = json.loads(line)
        numbers = [start(job) for job in jobs]
        codes = [finish(n, job["kill_after"]) for n, job in zip(numbers, jobs, strict=True)]
        print(json.dumps(codes), flush=True)
