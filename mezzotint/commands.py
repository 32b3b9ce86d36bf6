"""What each command prints; all work is the api's."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mezzotint.config import parse_assignments
from mezzotint.errors import MissingExtraError
from mezzotint.facts import print_facts, print_json
from mezzotint.progress import Progress, Silent, Terminal
from mezzotint.storage.readers import load_file, printable

if TYPE_CHECKING:
    from mezzotint import arguments, cli

FILMED = 8
WALKED = 64
ASKED = ("label", "prompt", "negative_prompt")
STEERED = ("solver", "steps", "guidance", "psi", "truncation")
SAMPLING = (*ASKED, *STEERED, "size", "offload")


def train(command: "cli.Train") -> int:
    """Train with a progress bar, then name the pictures."""
    from mezzotint import api

    if command.distill:  # said before hours of training, not after
        api.require_distils(command.family)
    options = load_file(command.config) if command.config else {}
    options |= parse_assignments(command.set)
    given = ("images", "budget", "size", "channels", "batch", "seed")
    options |= {k: v for k in given if (v := getattr(command, k)) is not None}
    options |= {} if command.watch else {"watch": False}
    # of several processes only the first one speaks
    named: dict[str, Any] = {"out": command.out, "preset": command.preset, "start": command.start}
    named |= {"lora": True} if command.lora else {}
    named |= {"tile": command.tile} if command.tile else {}
    quiet = command.quiet or os.environ.get("RANK", "0") != "0"
    show: Progress = Silent()
    with Terminal(f"training {command.family}") as terminal:
        show = Silent() if quiet else terminal
        run = api.train(command.family, command.data, progress=show, **named, **options)
    runs = [run]
    if command.distill:
        with Terminal("distilling") as terminal:
            show = Silent() if quiet else terminal
            runs.append(api.distill(run, command.data, progress=show))
    for made in () if quiet else runs:
        _print_run(made.path, made.pictures)
    return 0


def _print_run(path: object, pictures: Iterable[object]) -> None:
    print(f"run: {path}")
    for picture in pictures:
        print(f"picture: {picture}")


def sample(command: "arguments.Sample") -> int:
    """Write samples and name the files."""
    from mezzotint import api

    named = {"image": command.start, "mask": command.mask, "strength": command.strength}
    named |= {key: getattr(command, key) for key in SAMPLING}
    options: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    options |= {"tiling": True} if command.tiling else {}
    if command.allow_network:
        api.fetch(command.model)
    model, n, out = command.model, command.n, command.out
    if command.to_seed is not None:
        api.interpolate(model, command.seed, command.to_seed, n or WALKED, out, **options)
    else:
        with Terminal("sampling") as terminal:
            api.sample(model, n, command.seed, out, command.batch, terminal, **options)
    print(f"samples: {out}")
    if command.trajectory is not None:
        api.film(model, min(n or FILMED, FILMED), command.seed, command.trajectory, **options)
        print(f"trajectory: {command.trajectory}")
    return 0


def reconstruct(command: "arguments.Reconstruct") -> int:
    """Write reconstructions and name the file."""
    from mezzotint import api

    search = {name: getattr(command, name) for name in ("seed", "steps", "starts")}
    with Terminal("reconstructing") as terminal:
        api.reconstruct(
            command.model, command.data, command.n, command.noise, command.out, terminal, **search
        )
    print(f"reconstructions: {command.out}")
    return 0


def evaluate(command: "cli.Evaluate") -> int:
    """Print measured numbers with their intervals."""
    from mezzotint import api

    names = ("features", "samples", "limit", "draws")
    options = {name: getattr(command, name) for name in names}
    with Terminal("evaluating") as terminal:
        found = api.evaluate(command.model, command.data, progress=terminal, **options)
    if command.json:
        print_json(found.as_dict())
    else:
        print(api.evaluation_table(found))
    return 0


def compare(command: "arguments.Compare") -> int:
    """Train and measure, then say in a few lines what came out and name the report."""
    from mezzotint import api

    names = ("runs", "budget", "out", "seed", "features", "samples")
    options = {name: getattr(command, name) for name in names}
    options |= {k: v for k in ("size", "channels") if (v := getattr(command, k)) is not None}
    if command.families is not None:
        options["families"] = [part.strip() for part in command.families.split(",")]
    with Terminal("comparing") as terminal:
        found = api.compare(command.data, progress=terminal, **options)
    if command.json:
        print_json(found.comparison.as_dict())
        return 0
    for sentence in found.comparison.headline:
        print(printable(sentence))
    print(f"numbers: {found.json}\nreport: {found.report}")
    return 0


def detect(command: "arguments.Detect") -> int:
    """Score, judge, and name the files."""
    from mezzotint import api

    names = ("false_alarms", "score", "features", "good", "tile")
    options = {name: getattr(command, name) for name in names}
    out = command.out or Path(command.model) / "detection"
    with Terminal("detecting") as terminal:
        found = api.detect(command.model, command.data, out=out, progress=terminal, **options)
    if command.json:
        print_json(found.as_dict())
        return 0
    print(api.detection_table(found))
    for path in (out / "scores.csv", out / "detection.json", *found.pictures):
        print(f"file: {path}")
    return 0


def inspect(command: "arguments.Inspect") -> int:
    """Draw, name the pictures and the recommended settings."""
    from mezzotint import api

    maps = None if command.maps is None else [part.strip() for part in command.maps.split(",")]
    with Terminal("inspecting") as terminal:
        found = api.inspect(
            command.model, command.data, command.out, terminal, maps, command.points
        )
    if command.json:
        told = {"pictures": found.pictures, "recommended": dict(found.recommended)}
        print_json({**found.numbers, **told})
        return 0
    for picture in found.pictures:
        print(f"picture: {picture}")
    for name, why in found.numbers.get("latents", {}).get("left_out", {}).items():
        print(f"left out: {name}: {why}")
    if found.recommended:
        wanted = " ".join(f"{key}={value}" for key, value in found.recommended.items())
        kept = "saved in the model" if found.saved else "not saved: the run is not finished"
        print(f"recommended: {wanted} ({kept})")
    return 0


def ema(command: "arguments.Ema") -> int:
    """Write the model of a length; a line a length that was tried."""
    from mezzotint import api

    with Terminal("averaging") as terminal:
        run, data = command.run, command.data
        found = api.average(run, data, command.length, command.out, terminal)
    if command.json:
        told = {"losses": dict(found.losses), "error": found.error, "model": found.path}
        print_json({"length": found.length, **told})
        return 0
    for length, loss in found.losses.items():
        print(f"length {length:<5g} loss {loss:.6g}")
    print(f"model: {found.path} (averaged over {found.length:g} of the run)")
    return 0


def export(command: "arguments.Export") -> int:
    """Write the folder and say what is in it."""
    from mezzotint import api

    model, out = command.model, command.out
    options = {"solver": command.solver, "label": command.label}
    found = api.export(model, out, command.format, **options)
    print(f"exported: {found.path} ({found.note})")
    return 0


def serve(command: "arguments.Serve") -> int:
    """Serve until told to stop."""
    from mezzotint.serving import early
    from mezzotint.serving.settings import Settings, token_of

    settings = Settings(
        root=command.runs,
        host=command.host,
        port=command.port,
        token=token_of(command.token),
        names=command.names,
        data=command.data,
        device=command.device,
    )
    try:
        import uvicorn  # noqa: F401 - tells before a worker is started that the extra is missing

        early.start(settings.device)
        from mezzotint.serving.running import serve as run
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "serve") from error
    try:
        return run(settings)
    finally:
        early.drop()


def check(command: "cli.Check") -> int:
    """Print what the dataset doctor found."""
    from mezzotint import api

    with Terminal("checking") as terminal:
        found = api.check(command.data, strict=command.strict, progress=terminal)
    planned = []
    if command.plan and found.usable:
        with Terminal("planning") as terminal:
            planned = api.plan(found, command.budget, progress=terminal)
    if command.json:
        print_json({**found.as_dict(), "plan": [each.as_dict() for each in planned]})
    else:
        print(api.checkup_table(found))
        if planned:
            print("\n" + api.plan_table(planned))
    return int(found.exit_code)


def pack(command: "cli.Pack") -> int:
    """Pack images and say what is in the pack."""
    from mezzotint import api

    with Terminal("packing") as terminal:
        images = api.pack(command.data, command.out, command.size, command.channels, terminal)
    print("\n".join([*images.describe(), f"pack: {command.out}"]))
    return 0


def info(command: "cli.Info") -> int:
    """Print what a path is."""
    from mezzotint import api

    print_facts(api.describe(command.path), command.json)
    return 0


def env(command: "cli.Env") -> int:
    """Print the environment."""
    from mezzotint import api

    print_facts(api.environment(), command.json)
    return 0
