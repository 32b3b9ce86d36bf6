"""Low-rank products of a pipeline, read into it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mezzotint.config import from_dict, override
from mezzotint.errors import ConfigError, DataError, MissingExtraError
from mezzotint.families.base import read_model_config
from mezzotint.families.piping import PretrainedConfig
from mezzotint.families.pretrained import Pretrained
from mezzotint.families.tuning import (
    ENCODERS,
    TEXT_TARGETS,
    WEIGHTS,
    Tuned,
    TunedConfig,
    add_products,
)
from mezzotint.runs.pretrained import read_text_pipeline, text_pipeline_config
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
        MissingExtraError: ``peft`` is not installed.
    """
    settled = _settled(folder)
    weights = inside(folder, WEIGHTS)
    check_header(weights)
    model = read_text_pipeline(Path(settled.base))
    try:
        _take_over(model, load_tensors(weights), settled)
    except (ValueError, RuntimeError, KeyError) as error:
        what = f"these products do not fit the pipeline {settled.base}"
        raise DataError(what, str(weights), "use another copy of either") from error
    return model.resized(settled.size)


def tuned_config(folder: Path) -> PretrainedConfig:
    """The options of what :func:`read_tuned` reads, without any weights; errors as there."""
    return _resized(_settled(folder))


def resized_config(options: Mapping[str, Any], where: Path) -> PretrainedConfig:
    """Options of the pipeline that these of :class:`TunedConfig` tune, at the size of the tuning.

    Raises:
        ConfigError, MissingInputError, RefusedError: they are none, or the pipeline is not there.
    """
    return _resized(from_dict(TunedConfig, options, where=str(where)))


def _resized(settled: TunedConfig) -> PretrainedConfig:
    return override(text_pipeline_config(Path(settled.base)), {"size": settled.size})


def _settled(folder: Path) -> TunedConfig:
    config = read_model_config(folder)
    config.pop("kind")
    found: TunedConfig = from_dict(TunedConfig, config, where=str(folder))
    return found


def _take_over(model: Pretrained, products: Mapping[str, Tensor], config: TunedConfig) -> None:
    """Put products where they belong.

    Those of text encoders go there without the help of transformers, which asks for a version of
    peft that it does not need.
    """
    from diffusers.utils import convert_state_dict_to_peft

    try:
        from peft import set_peft_model_state_dict
    except ImportError as error:
        raise MissingExtraError("peft", "lora") from error

    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in products.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = value
    model.unet.load_lora_adapter(parts.pop("unet", {}), prefix=None)
    for part, found in parts.items():
        encoder = getattr(model, part) if part in ENCODERS else None
        if encoder is None:
            raise ValueError(f"there is no {part}")
        add_products(encoder, config.text_rank, TEXT_TARGETS)
        set_peft_model_state_dict(encoder, convert_state_dict_to_peft(found))


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
    own = {"size": model.config.size, "base": str(base.absolute())}  # found from anywhere
    config = from_dict(TunedConfig, {**own, **options})
    if model.config.channels != config.channels:
        raise ConfigError("the pipeline makes no RGB images", str(base))
    return Tuned(config, model)
