"""Low-rank products of a pipeline, read into it."""

from pathlib import Path

from mezzotint.config import from_dict
from mezzotint.errors import ConfigError, DataError
from mezzotint.families.base import read_model_config
from mezzotint.families.pretrained import Pretrained
from mezzotint.families.tuning import WEIGHTS, Tuned, TunedConfig
from mezzotint.runs.pretrained import read_text_pipeline
from mezzotint.storage.readers import inside
from mezzotint.storage.weights import check_header, load_tensors


def is_tuned(folder: Path) -> bool:
    """Whether a folder holds low-rank products that :class:`Tuned` wrote."""
    return (folder / WEIGHTS).is_file() and read_model_config(folder)["kind"] == Tuned.kind


def read_tuned(folder: Path) -> Pretrained:
    """The pipeline that was tuned, with the products at work.

    Raises:
        MissingInputError: the pipeline is not where it was.
        ConfigError, DataError, RefusedError: one of both is damaged.
    """
    config = read_model_config(folder)
    config.pop("kind")
    settled = from_dict(TunedConfig, config, where=str(folder))
    weights = inside(folder, WEIGHTS)
    check_header(weights)
    model = read_text_pipeline(Path(settled.base))
    try:
        model.pipeline.load_lora_weights(load_tensors(weights))
    except (ValueError, RuntimeError, KeyError) as error:
        what = f"these products do not fit the pipeline {settled.base}"
        raise DataError(what, str(weights), "use another copy of either") from error
    return model.resized(settled.size)


def tuned(base: Path, **options: object) -> Tuned:
    """A pipeline with new products that change nothing yet.

    Args:
        base: a pipeline folder.
        options: of :class:`TunedConfig`.

    Raises:
        ConfigError: an option is wrong, or the folder is no pipeline that reads text.
        MezzotintError: the pipeline cannot be opened.
    """
    model = read_text_pipeline(base)
    config = from_dict(TunedConfig, {"size": model.config.size, "base": str(base), **options})
    if model.config.channels != config.channels:
        raise ConfigError("the pipeline makes no RGB images", str(base))
    return Tuned(config, model)
