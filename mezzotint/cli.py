"""The command line: one dataclass a command; its fields are the options, its docs the help."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg, subcommand

from mezzotint import commands
from mezzotint.arguments import (
    Assignments,
    Compare,
    DataName,
    Detect,
    Ema,
    Export,
    FamilyName,
    Inspect,
    ModelName,
    Reconstruct,
    Sample,
    Serve,
)
from mezzotint.console import bug, fail, print_anything, spread_assignments
from mezzotint.errors import MezzotintError
from mezzotint.storage.files import storage_error


@dataclass(frozen=True)
class Train:
    """Train a model on images; the same command resumes an interrupted run.

    For example: mezzotint train vae photos/ --budget 10m

    All options of a family and its presets: mezzotint info vae
    """

    family: FamilyName
    """autoencoder, vae, gan, diffusion or kl-vae."""
    data: DataName
    """digits, shapes, fashion-mnist, a folder, zip, tar, IDX folder, .npy/.npz or hf:OWNER/NAME."""
    out: Path | None = None
    """Run folder; by default runs/FAMILY-DATA."""
    preset: str | None = None
    """Named options of the family: default, classic, small, deep, spatial, denoising, ..."""
    images: str | None = None
    """Length in images seen: 50k, 2M."""
    budget: str | None = None
    """Length in wall-clock time instead: 90s, 10m, 1h30m."""
    size: str | None = None
    """Image size: 64, or 48x32 (width x height); by default read from the data."""
    channels: Literal[1, 3, 4] | None = None
    """Grey, RGB or RGBA; by default read from the data."""
    tile: int | None = None
    """Cut pictures into squares of this side instead of shrinking them; detect scans by them."""
    batch: int | None = None
    """Images an optimiser step; by default the preset's."""
    seed: int | None = None
    """Seed of weights, data order and noise; by default 0."""
    start: Annotated[str | None, arg(name="from", metavar="RUN")] = None
    """Train the model of this run, model or diffusers pipeline folder further, at a low rate;
    text-to-image also takes a Stable Diffusion pipeline."""
    lora: bool = False
    """Let the Stable Diffusion pipeline of --from learn low-rank products (extra lora), in place of
    all weights of its U-Net."""
    distill: bool = False
    """Afterwards tune a copy of a diffusion model, RUN-distilled, to sample in one or two steps."""
    watch: bool = True
    """Look at a GAN's samples at every preview and go back when they have collapsed."""
    config: Path | None = None
    """JSON or YAML file with a mapping of options; --set wins over it."""
    set: Assignments = ()
    """Any option of the model or of training: key=value, one or several."""
    quiet: bool = False
    """Print nothing but errors."""


@dataclass(frozen=True)
class Evaluate:
    """Measure a model: samples against held-out images, reconstructions, bounds, speed, memory.

    Each number with its 95% interval and, as `real`, what real images score at the same n.
    """

    model: ModelName
    """Run or model folder."""
    data: DataName
    """What the model was trained on; of a set with a held-out side, that is compared with."""
    features: str = "data"
    """data: a small network trained on the training images; effnet-lite0: ImageNet; pixels."""
    samples: int | None = None
    """Images to make; by default 1000, or as many as there are held-out ones."""
    limit: int = 2000
    """Held-out images at the most."""
    draws: int = 64
    """K of the importance-weighted bound, of as many images as 32,768 decoded samples allow."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class Info:
    """Say what a run, model, pack or picture made by mezzotint is."""

    path: Annotated[Positional[str], arg(metavar="PATH")]
    """Run folder, model folder, packed data, PNG, or the name of a family."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class Env:
    """Print versions, devices and optional packages, for bug reports."""

    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class Check:
    """Look for trouble in a set of images: the dataset doctor."""

    data: DataName
    """Anything train takes."""
    json: bool = False
    """Print JSON instead of a table."""
    strict: bool = False
    """Exit with 65 when a file cannot be used."""
    plan: bool = True
    """End with what training would take here, family by family: size, speed, memory, disk; a few
    seconds of real steps."""
    budget: str = "10m"
    """Training time that the plan's sizes are for."""


@dataclass(frozen=True)
class Pack:
    """Write a set of images as one packed folder that loads at once."""

    data: DataName
    """Anything train takes."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder to create; train and the other commands take it as DATA."""
    size: str | None = None
    """Image size: 64, or 48x32 (width x height)."""
    channels: Literal[1, 3, 4] | None = None
    """Grey, RGB or RGBA."""


@dataclass(frozen=True)
class Data:
    """Check or pack a set of images."""

    action: Annotated[Check, subcommand("check")] | Annotated[Pack, subcommand("pack")]


Command = (
    Annotated[Train, subcommand("train")]
    | Annotated[Sample, subcommand("sample")]
    | Annotated[Reconstruct, subcommand("reconstruct")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Inspect, subcommand("inspect")]
    | Annotated[Detect, subcommand("detect")]
    | Annotated[Ema, subcommand("ema")]
    | Annotated[Export, subcommand("export")]
    | Annotated[Serve, subcommand("serve")]
    | Annotated[Data, subcommand("data")]
    | Annotated[Info, subcommand("info")]
    | Annotated[Env, subcommand("env")]
)

HANDLERS: dict[type, Callable[[Any], int]] = {
    Train: commands.train,
    Sample: commands.sample,
    Reconstruct: commands.reconstruct,
    Evaluate: commands.evaluate,
    Compare: commands.compare,
    Inspect: commands.inspect,
    Detect: commands.detect,
    Ema: commands.ema,
    Export: commands.export,
    Serve: commands.serve,
    Check: commands.check,
    Pack: commands.pack,
    Info: commands.info,
    Env: commands.env,
}
_CONFIG = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    print_anything()
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words or bool(os.environ.get("MEZZOTINT_DEBUG"))
    words = spread_assignments([word for word in words if word != "--debug"])
    command: Any = tyro.cli(
        Command,
        prog="mezzotint",
        description="From a folder of images to a generative model you can trust. "
        "--debug shows tracebacks.",
        args=words,
        config=_CONFIG,
    )
    command = command.action if isinstance(command, Data) else command
    sys.exit(_run(command, debug))


def _run(command: object, debug: bool) -> int:
    """The command's exit code; every error becomes a message unless ``debug``."""
    name = ("data " if isinstance(command, Check | Pack) else "") + type(command).__name__.lower()
    try:
        return HANDLERS[type(command)](command)
    except MezzotintError as error:
        if debug:
            raise
        return fail(error, name)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if debug:
            raise
        return fail(storage_error(error, Path(str(error.filename or "."))), name)
    except Exception as error:
        if debug:
            raise
        return fail(bug(error), name)
