"""What the model of a folder is, told from its JSON alone: no weight is read."""

from pathlib import Path
from typing import Any, NamedTuple

from mezzotint.config import from_dict
from mezzotint.errors import ConfigError, MissingInputError
from mezzotint.families.base import Family, read_model_config
from mezzotint.families.diffusion import Diffusion
from mezzotint.families.pretrained import Pretrained
from mezzotint.families.tuning import Tuned
from mezzotint.runs.folder import RunFolder
from mezzotint.runs.loading import known_family
from mezzotint.runs.pipelines import is_pipeline, pipeline_config
from mezzotint.runs.pretrained import is_text_pipeline, text_pipeline_config
from mezzotint.runs.tuned import is_tuned, resized_config, tuned_config


class Form(NamedTuple):
    """The class of a model and its configuration."""

    family: type[Family]
    config: Any


def model_form(folder: Path) -> Form:
    """The form of what :func:`mezzotint.runs.loading.load_model` opens in a folder.

    Args:
        folder: of a run, finished or not, of a model, or of a pipeline.

    Raises:
        MissingInputError: there is none of these.
        ConfigError, DataError, RefusedError: the files say something else.
    """
    if is_tuned(folder):
        return Form(Pretrained, tuned_config(folder))
    if (folder / "config.json").is_file():
        config = read_model_config(folder)
        return _form(config.pop("kind"), config, folder)
    if is_pipeline(folder):
        if is_text_pipeline(folder):
            return Form(Pretrained, text_pipeline_config(folder))
        return Form(Diffusion, pipeline_config(folder))
    run = RunFolder(folder)
    if run.finished():
        return model_form(run.model)
    if not run.exists():
        raise MissingInputError("there is no run or model here", str(folder))
    header = run.header()
    options = header.get("model")
    if header["family"] == Tuned.kind and isinstance(options, dict):
        return Form(Pretrained, resized_config(options, folder))
    return _form(header["family"], options, folder)


def _form(kind: Any, options: Any, folder: Path) -> Form:
    if not isinstance(kind, str) or not isinstance(options, dict):
        raise ConfigError("these files describe no model", str(folder), "use another copy of them")
    family = known_family(kind, folder)
    config_class: Any = family.config_class
    return Form(family, from_dict(config_class, options, where=str(folder)))
