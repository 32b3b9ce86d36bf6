"""From a run folder or a model folder to a model, without running anything found in it."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from mezzotint.config import from_dict, shown
from mezzotint.errors import ConfigError, DataError, MissingInputError, nearest
from mezzotint.families import FAMILIES, family_class
from mezzotint.families.base import Family, read_model_config
from mezzotint.families.capabilities import Settles
from mezzotint.runs.folder import RunFolder
from mezzotint.runs.hub import located
from mezzotint.runs.pipelines import is_pipeline, read_pipeline
from mezzotint.runs.pretrained import is_text_pipeline, read_text_pipeline
from mezzotint.runs.tuned import is_tuned, read_tuned
from mezzotint.storage.files import replace_json
from mezzotint.storage.readers import inside, parse_json, read_small
from mezzotint.storage.weights import kinds_of, load_into

MOST_NEIGHBOURS = 500


def load_model(path: str | Path, **modules: nn.Module) -> Family:
    """The averaged (EMA) model of a run, finished or not, or of a model folder, ready to use.

    Args:
        path: a run folder, one with ``config.json`` and ``model.safetensors``, or a pipeline
            folder of diffusers: a ``UNet2DModel``, or Stable Diffusion; or the name of one that is
            in the cache of the Hugging Face hub.
        modules: networks of your own, if the model was built with some.

    Raises:
        MissingInputError: there is no model there, or one that has seen no image yet.
        ConfigError, DataError, RefusedError: it is damaged or not a model.
    """
    folder = located(path)
    if is_tuned(folder):
        return read_tuned(folder)
    if (folder / "config.json").is_file():
        kind = known_family(read_model_config(folder)["kind"], folder)
        return kind.from_pretrained(folder, **modules)
    if is_pipeline(folder):
        return read_text_pipeline(folder) if is_text_pipeline(folder) else read_pipeline(folder)
    run = RunFolder(folder)
    require_contained(run)
    if run.finished():
        return load_model(run.model, **modules)
    if run.exists():
        return _from_checkpoint(run, modules)
    raise MissingInputError("there is no run or model here", str(folder), _neighbours(folder))


def keep_settings(path: Path, settings: Mapping[str, Any]) -> bool:
    """Put options into the ``config.json`` of a model folder, or of a finished run's model.

    Returns:
        False where there is no such file, as in an unfinished run.

    Raises:
        StorageError, CannotCreateError: it cannot be written; the old one stays.
    """
    for folder in (path, RunFolder(path).model):
        if (folder / "config.json").is_file():
            file = inside(folder, "config.json")
            replace_json(file, {**parse_json(read_small(file), file), **settings})
            return True
    return False


def known_family(name: str, where: Path) -> type[Family]:
    """The class of a family that a file names.

    Raises:
        ConfigError: there is no such family.
    """
    if name not in FAMILIES:
        fix = f"a newer mezzotint may know it; here: {nearest(name, FAMILIES)}"
        raise ConfigError(f"there is no family {shown(name)}", where=str(where), fix=fix)
    return family_class(name)


def require_contained(run: RunFolder) -> None:
    """Check that no name in a run leads out of it, before anything of it is read.

    Raises:
        RefusedError: a link does.
    """
    for path in (run.path / "run.json", run.history, run.model, run.checkpoints, run.averages):
        inside(run.path, path.name)
    for path in run.checkpoints.glob("*/*"):
        inside(run.path, str(path.relative_to(run.path)))


def _from_checkpoint(run: RunFolder, modules: dict[str, Any]) -> Family:
    header = run.header()
    kind = known_family(header["family"], run.path)
    options = header.get("model")
    if not isinstance(options, dict):
        raise ConfigError("run.json describes no model", str(run.path), "use another copy of it")
    config: Any = from_dict(kind.config_class, options, where=str(run.path))
    saved = run.newest_checkpoint()
    if saved is None or saved.state.get("images") == 0:
        what = "this run has no checkpoint yet" if saved is None else "this model has seen 0 images"
        raise MissingInputError(what, str(run.path), "train it: the same command resumes")
    if "ema" not in saved.tensors:
        raise DataError(
            "the checkpoint holds no averaged weights", str(saved.path), "use another copy of it"
        )
    averages = saved.tensors["ema"]
    model = kind.fitting(config, kinds_of(averages), saved.path, **modules)
    load_into(model, averages, saved.path)
    model.eval()
    if isinstance(model, Settles):
        model.settle()
    return model


def _neighbours(folder: Path) -> str:
    parent = folder.parent
    entries = itertools.islice(parent.iterdir(), MOST_NEIGHBOURS) if parent.is_dir() else ()
    runs = [path.name for path in entries if (path / "run.json").is_file()]
    return nearest(folder.name, runs) if runs else "mezzotint train vae digits --out runs/digits"
