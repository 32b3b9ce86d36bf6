"""From a run folder or a model folder to a model, without running anything found in it."""

from pathlib import Path
from typing import Any

from torch import nn

from mezzotint.config import from_dict
from mezzotint.errors import MissingInputError, nearest
from mezzotint.families import family_class
from mezzotint.families.base import Family, read_model_config
from mezzotint.runs import RunFolder
from mezzotint.weights import load_into


def load_model(path: str | Path, **modules: nn.Module) -> Family:
    """The averaged (EMA) model of a run, finished or not, or of a model folder, ready to use.

    Args:
        path: a run folder, or one with ``config.json`` and ``model.safetensors``.
        modules: networks of your own, if the model was built with some.

    Raises:
        MissingInputError: there is no model there.
        ConfigError, DataError, RefusedError: it is damaged or not a model.
    """
    folder = Path(path)
    if (folder / "config.json").is_file():
        kind = family_class(read_model_config(folder)["kind"])
        return kind.from_pretrained(folder, **modules)
    run = RunFolder(folder)
    if run.finished():
        return load_model(run.model, **modules)
    if run.exists():
        return _from_checkpoint(run, modules)
    raise MissingInputError("there is no run or model here", str(folder), _neighbours(folder))


def _from_checkpoint(run: RunFolder, modules: dict[str, Any]) -> Family:
    saved = run.newest_checkpoint()
    if saved is None:
        raise MissingInputError("this run has no checkpoint yet", where=str(run.path))
    header = run.header()
    kind = family_class(header["family"])
    config: Any = from_dict(kind.config_class, header["model"], where=str(run.path))
    model = kind(config, **modules)
    load_into(model, saved.tensors["ema"], saved.path)
    return model.eval()


def _neighbours(folder: Path) -> str:
    parent = folder.parent
    names = [p.name for p in parent.iterdir() if p.is_dir()][:500] if parent.is_dir() else []
    runs = [name for name in names if (parent / name / "run.json").is_file()]
    return nearest(folder.name, runs) if runs else "mezzotint train vae digits --out runs/digits"
