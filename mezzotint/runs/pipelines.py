"""Diffusion models as pipeline folders of diffusers: written with it, read without running it.

A pipeline folder has ``model_index.json``, ``unet/`` and ``scheduler/``.
"""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mezzotint.config import from_dict, override, parse_size, shown
from mezzotint.errors import CannotCreateError, ConfigError, MissingInputError, UsageError
from mezzotint.families.base import Family
from mezzotint.families.diffusing import DiffusionConfig, no_diffusers
from mezzotint.families.diffusion import Diffusion
from mezzotint.families.kl_vae import KLVAE
from mezzotint.nets.unet_arguments import arguments_from, text_of
from mezzotint.runs.schedulers import Scheduler, nearest_solver, options_of, scheduler_of
from mezzotint.storage.files import make_folder, storing, sync_folder, write_bytes
from mezzotint.storage.readers import inside, parse_json, read_small
from mezzotint.storage.weights import check_header, load_into, load_tensors

INDEX = "model_index.json"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
PREFIX = "network.unet."
PIPELINES = ("DDPMPipeline", "DDIMPipeline")
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
CALLS = {"DDIMPipeline": ", eta=0.0, use_clipped_model_output=True"}
CARD = """---
library_name: diffusers
pipeline_tag: unconditional-image-generation
---

# A diffusion model trained with mezzotint

```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("this-folder")
picture = pipeline(num_inference_steps={steps}{more}).images[0]
```

mezzotint reads this folder too: `mezzotint sample this-folder --steps {steps}`. A number of steps
that divides {total} visits the same levels in both.
"""
AUTOENCODER_CARD = """---
library_name: diffusers
---

# An autoencoder of latent diffusion trained with mezzotint

```python
from diffusers import AutoencoderKL

autoencoder = AutoencoderKL.from_pretrained("this-folder")
```

Its configuration has the measured `scaling_factor` of its latents.
"""


def is_pipeline(folder: Path) -> bool:
    """Whether a folder looks like a pipeline of diffusers."""
    return (folder / INDEX).is_file()


def write_pipeline(model: Family, folder: Path, solver: str | None = None) -> Scheduler:
    """Write a model as a pipeline folder, whole or not at all.

    Args:
        model: a diffusion model with ``backbone=diffusers``, without classes and groups.
        folder: to be made; it must not exist.
        solver: how the pipeline samples; None: the model's own, or where diffusers has no such
            pipeline, the first-order one without noise.

    Returns:
        The scheduler that was written.

    Raises:
        UsageError: another family.
        ConfigError: this model is no pipeline of diffusers; the message says what to train.
        CannotCreateError, StorageError: the folder exists or cannot be written.
    """
    if not isinstance(model, Diffusion):
        raise UsageError(f"{model.kind} is no pipeline of diffusers", "export", "a diffusion run")
    scheduler = _scheduler(model.config, solver)
    _require_plain(model.config)
    save = _pipeline(model, scheduler).save_pretrained
    write_whole(folder, save, _card(model.config, scheduler))
    return scheduler


def write_autoencoder(model: KLVAE, folder: Path) -> None:
    """Write a KL-VAE as a folder of diffusers' ``AutoencoderKL``, whole or not at all.

    Raises:
        ConfigError: images are padded in the model, which diffusers does not do.
        CannotCreateError, StorageError: the folder exists or cannot be written.
    """
    require_multiple(model.config.size, model.coder.multiple)
    write_whole(folder, model.published().save_pretrained, AUTOENCODER_CARD)


def write_whole(folder: Path, save: Callable[[Path], None], card: str) -> None:
    """A folder that ``save`` fills, with a README, whole or not at all.

    Raises:
        CannotCreateError, StorageError: the folder exists or cannot be written.
    """
    if folder.exists():
        raise CannotCreateError("there is something already", str(folder), "name a new folder")
    make_folder(folder.parent)
    building = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    try:
        with storing(folder):
            save(building)
            write_bytes(building / "README.md", card.encode())
            sync_folder(building)
            building.rename(folder)
            sync_folder(folder.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _scheduler(config: DiffusionConfig, solver: str | None) -> Scheduler:
    wanted = solver or config.solver
    try:
        return scheduler_of(override(config, {"solver": wanted}))
    except ConfigError:
        if solver is not None:
            raise
        return scheduler_of(override(config, {"solver": nearest_solver(config)}))


def _require_plain(config: DiffusionConfig) -> None:
    """Check that a ``UNet2DModel`` alone is the whole model."""
    kinds = "classes" if config.classes else "groups"
    if config.kinds:
        fix = "train it with --set classes= groups=0, which tells it nothing"
        what = f"a pipeline of diffusers cannot ask this model for its {config.kinds} {kinds}"
        raise ConfigError(what, "export", fix)
    if config.backbone != "diffusers":
        what = "our U-Net is not one of diffusers'"
        raise ConfigError(what, "export", "train it with --set backbone=diffusers groups=0")
    if not config.unet:
        require_multiple(config.size, 2 ** (len(config.widths) - 1))


def require_multiple(size: Sequence[int], multiple: int) -> None:
    """Check that no side has to be padded.

    Raises:
        ConfigError: one has.
    """
    if any(side % multiple for side in size):
        what = f"a pipeline of diffusers does not crop, and {size} is no multiple"
        raise ConfigError(what, "export", f"train at a --size that {multiple} divides")


def _pipeline(model: Diffusion, scheduler: Scheduler) -> Any:
    try:
        import diffusers
    except ImportError as error:
        raise no_diffusers() from error
    schedule = getattr(diffusers, scheduler.name)(**scheduler.arguments)
    return getattr(diffusers, scheduler.pipeline)(unet=model.network.unet, scheduler=schedule)


def _card(config: DiffusionConfig, scheduler: Scheduler) -> str:
    total = int(scheduler.arguments["num_train_timesteps"])
    more = CALLS.get(scheduler.pipeline, "")
    return CARD.format(steps=config.steps, more=more, total=total)


def read_pipeline(folder: Path) -> Diffusion:
    """The model of a DDPM or DDIM pipeline folder; nothing in it is executed.

    Raises:
        ConfigError: another pipeline, network or scheduler than we have.
        MissingInputError, DataError, RefusedError: a file is missing, damaged or leads out.
    """
    config = pipeline_config(folder)
    weights = _weights(folder)
    kinds = {PREFIX + _new(name): kind for name, kind in check_header(weights).items()}
    model = Diffusion.fitting(config, kinds, weights)
    tensors = {PREFIX + _new(name): tensor for name, tensor in load_tensors(weights).items()}
    load_into(model, tensors, weights)
    return model.eval()


def pipeline_config(folder: Path) -> DiffusionConfig:
    """The options of what :func:`read_pipeline` reads, without its weights; errors as there."""
    index = _read(folder, INDEX)
    pipeline = index.get("_class_name") if isinstance(index, dict) else None
    if pipeline not in PIPELINES:
        fix = "the pipelines known here: " + ", ".join(PIPELINES)
        raise ConfigError(f"{shown(pipeline)} is another pipeline", str(folder / INDEX), fix)
    return _config(folder, str(pipeline), _component(folder, index))


def _component(folder: Path, index: Mapping[str, Any]) -> str:
    """Check that there are a ``UNet2DModel`` and a scheduler of diffusers, and nothing else.

    Returns:
        The scheduler's class name.
    """
    parts = {name: part for name, part in index.items() if not name.startswith("_")}
    unet, scheduler = parts.pop("unet", None), parts.pop("scheduler", None)
    plain = isinstance(scheduler, list) and len(scheduler) == 2 and scheduler[0] == "diffusers"
    if parts or unet != ["diffusers", "UNet2DModel"] or not plain:
        what = "the pipeline has other parts than diffusers' UNet2DModel and a scheduler"
        raise ConfigError(what, str(folder / INDEX), "use an unconditional DDPM or DDIM pipeline")
    return str(scheduler[1])


def _config(folder: Path, pipeline: str, scheduler: str) -> DiffusionConfig:
    file = "scheduler/scheduler_config.json"
    options = options_of(pipeline, scheduler, _read(folder, file), str(folder / file))
    where = str(folder / "unet" / "config.json")
    unet = _read(folder, "unet/config.json")
    if isinstance(unet, dict) and unet.get("sample_size") is None:
        raise ConfigError("the network names no sample_size", where, "add it, for example 32")
    if isinstance(unet, dict):
        unet = {**unet, "sample_size": parse_size(unet["sample_size"], where)}
    arguments = arguments_from(unet, where)
    options |= {"size": arguments.sample_size, "channels": arguments.in_channels}
    options |= {"backbone": "diffusers", "unet": text_of(arguments)}
    return from_dict(DiffusionConfig, options, where)


def _weights(folder: Path) -> Path:
    path = inside(folder, WEIGHTS)
    if not path.is_file() and path.with_suffix(".bin").is_file():
        what = "the weights are a pickle, which could run code"
        fix = "save the pipeline again with safe_serialization=True"
        raise MissingInputError(what, str(path.with_suffix(".bin")), fix)
    return path


def _new(name: str) -> str:
    """The name a tensor of an attention block has since diffusers 0.15."""
    found = re.fullmatch(r"(.*attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)", name)
    return f"{found[1]}.{OLD_NAMES[found[2]]}.{found[3]}" if found else name


def _read(folder: Path, name: str) -> Any:
    path = inside(folder, name)
    return parse_json(read_small(path), path)
