"""What the user asked for, settled: family, options, data and length of a run."""

import functools
import hashlib
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from mezzotint.alpha import RGBA, over
from mezzotint.config import field_names, from_dict, override, parse_size, split_options, to_dict
from mezzotint.data.dataset import Images
from mezzotint.errors import ConfigError, nearest
from mezzotint.families import family_class
from mezzotint.families.base import Family, Form
from mezzotint.families.capabilities import Perceives
from mezzotint.families.diffusion_sizes import choice_for, described, fitted
from mezzotint.families.groups import groups_for
from mezzotint.families.latent_options import LatentDiffusionConfig
from mezzotint.families.reading import fitting_length, weights_hash
from mezzotint.features.pretrained import open_eyes
from mezzotint.text import tokenizer
from mezzotint.text.tokenizer import CaptionTokenizer
from mezzotint.training.few_images import default_jitter
from mezzotint.training.recipe import Recipe

DEFAULT_IMAGES = 200_000
MOST_MEASURED = 2000
MOST_PROMPTS, LONGEST_PROMPT = 256, 300
LEAST_STD = 0.01
PACKAGES = ("mezzotint", "torch", "numpy", "pillow", "safetensors", "accelerate")
_FREE = {"checkpoint_seconds", "keep", "tensorboard", "record", "watch"}


@dataclass(frozen=True)
class Plan:
    """Options of a run before the data is read.

    Attributes:
        kind: the family's class.
        model: options of the model; those the data decides may be missing.
        recipe: how it is trained.
        instance: a model the user built, to be trained as it is.
        said: what was chosen because of the data, a line each.
        preset: the name of the preset the options started from.
        given: options somebody chose; None: the preset stands as it is, whatever the images.
    """

    kind: type[Family]
    model: Mapping[str, Any]
    recipe: Recipe
    instance: Family | None = None
    said: tuple[str, ...] = ()
    preset: str = "default"
    given: Mapping[str, Any] | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """The size the images must have, or None when the data decides."""
        if self.instance is not None:
            return parse_size(self.instance.config.size)
        return parse_size(self.model["size"]) if "size" in self.model else None

    @property
    def channels(self) -> int | None:
        """The channels the images must have, or None when the data decides."""
        if self.instance is not None:
            return int(self.instance.config.channels)
        return int(self.model["channels"]) if "channels" in self.model else None

    def recipe_for(self, data: Images) -> Recipe:
        """The recipe with what the form and the number of the images decide."""
        found = self.suited(data, Recipe)
        if "batch" in found:  # a short run has chosen a small one already
            found["batch"] = min(found["batch"], self.recipe.batch)
        recipe = override(self.recipe, found)
        if recipe.jitter is not None:
            return recipe
        jitter = default_jitter(len(data.train)) if self.kind.copies else 0.0
        return override(recipe, {"jitter": jitter})

    def told(self, data: Images) -> str:
        """What the form and the number of the images decided, in a line; empty if nothing."""
        found = {**self.suited(data, self.kind.config_class), **self.suited(data, Recipe)}
        words = " ".join(f"{name}={_shown(value)}" for name, value in found.items())
        height, width = data.size
        return f"for {len(data.train):,} images of {width}x{height}: {words}" if found else ""

    def suited(self, data: Images, kind: Any) -> dict[str, Any]:
        """Options of ``kind`` that the family has for such images and nobody chose."""
        if self.given is None:
            return {}
        form = Form(data.size, data.channels, len(data.train))
        found, fields = self.kind.suited(form, self.given), field_names(kind)
        return {k: v for k, v in found.items() if k in fields and k not in self.given}

    def build(self, data: Images) -> Family:
        """The model for this data, with weights that depend on the seed alone."""
        return with_eyes(self.instance or self._new(data))

    def _new(self, data: Images) -> Family:
        import torch

        fields = field_names(self.kind.config_class)
        known = {name: look for name, look in MEASURED.items() if name in fields}
        measured = {name: look(data, self.model) for name, look in known.items()}
        options = {**measured, **self.model, **self.suited(data, self.kind.config_class)}
        config: Any = from_dict(self.kind.config_class, options, self.kind.kind)
        if "groups" in fields and "groups" not in self.model:
            count = groups_for(len(data.train), len(config.classes))
            config = override(config, {"groups": count})
        torch.manual_seed(self.recipe.seed)
        return self.kind(config)

    def settled(self, data: Images) -> "Plan":
        """The plan with what the size of the data decides, and lines that say so.

        Raises:
            ConfigError: the options cannot work at this size.
        """
        if self.instance is not None or self.kind.kind not in SIZED:
            return self
        return SIZED[self.kind.kind](self, data)

    def lasting(self, seconds: float) -> "Plan":
        """The same plan for another length."""
        return replace(self, recipe=override(self.recipe, {"budget": seconds, "images": None}))

    def without_groups(self) -> "Plan":
        """The same plan for a model that needs no look at the images first."""
        fields = field_names(self.kind.config_class)
        return replace(self, model={**self.model, **({"groups": 0} if "groups" in fields else {})})

    def shorter(self, share: float) -> "Plan":
        """The same plan for a share of its length."""
        return replace(self, recipe=shortened(self.recipe, share))


def _diffusion_by_size(plan: Plan, data: Images) -> Plan:
    """Where a diffusion model walks and how, by the table of :mod:`families.diffusion_sizes`."""
    given = plan.model
    choice = choice_for(data.size, str(given.get("space", "auto")))
    if choice.space == "latents" and "space" not in given and set(given) - LATENT_OPTIONS:
        choice = choice_for(data.size, "pixels")  # what was asked for is of pixels
    if choice.space == "latents":
        latent = family_class(LATENT)
        own = {"groups": 0, **{n: v for n, v in given.items() if n != "space"}}
        if "guidance" not in (plan.given or {}):
            own["guidance"] = 1.0  # diffusers' pipelines of latents have none
        line = described(data.size, choice)
        recipe = override(plan.recipe, {"jitter": 0.0})
        return replace(plan, kind=latent, model=own, recipe=recipe, said=(line,))
    own = plan.suited(data, plan.kind.config_class)
    form = {"size": data.size, "channels": data.channels}
    config: Any = from_dict(plan.kind.config_class, {**given, **own, **form}, plan.kind.kind)
    wider, warning = fitted(config, given)
    why = [described(data.size, choice)] if own else []
    chosen = None if plan.given is None else {**plan.given, **wider}
    said = (*why, *([warning] if warning else []))
    return replace(plan, model={**given, **wider}, given=chosen, said=said)


LATENT = "latent-diffusion"
LATENT_OPTIONS = frozenset(field_names(LatentDiffusionConfig))
SIZED: dict[str, Callable[[Plan, Images], Plan]] = {"diffusion": _diffusion_by_size}
"""Families whose options follow the size of the data."""


def _shown(value: Any) -> str:
    """A value as --set takes it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else f"{value}"


def with_eyes(model: Family) -> Family:
    """The model, with the network that its loss looks through if there is one.

    Raises:
        MissingExtraError, DataError: the network's weights are not here, or others.
    """
    if isinstance(model, Perceives) and model.wants_eyes:
        model.look_with(open_eyes(model.shape[1:], model.premultiplied))
    return model


def shortened(recipe: Recipe, share: float) -> Recipe:
    """The recipe for a share of its length."""
    if recipe.budget is not None:
        return override(recipe, {"budget": recipe.budget * share})
    return override(recipe, {"images": max(1, round((recipe.images or 0) * share))})


def alpha_form(data: Images) -> str:
    """How a new model thinks of RGBA."""
    return "premultiplied" if data.channels == RGBA else "straight"


def pixel_std(data: Images, alpha: str = "straight") -> float:
    """Standard deviation of the pixels in [-1, 1], over at most 2,000 training images.

    Args:
        data: the images.
        alpha: of RGBA, whether colour counts as it is or times alpha.
    """
    train = data.train
    rows = np.linspace(0, len(train) - 1, min(MOST_MEASURED, len(train))).astype(int)
    pixels = train.gather(rows)
    if alpha == "premultiplied" and data.channels == RGBA:
        pixels = np.concatenate([over(pixels, 0), pixels[..., 3:]], axis=-1)
    spread = float(pixels.std(dtype=np.float64)) / 127.5
    return round(max(spread, LEAST_STD), 4)


def _captions(data: Images) -> list[str]:
    train = data.train
    found = train.captions_of(range(len(train))) or ()
    return [text for text in found if text and text.strip()]


@functools.lru_cache(maxsize=1)
def _words(data: Images) -> CaptionTokenizer:
    return tokenizer.train(_captions(data))


def some_captions(data: Images) -> tuple[str, ...]:
    """At most 256 different captions, spread over the training images, each in one line."""
    texts = sorted({" ".join(text.split())[:LONGEST_PROMPT] for text in _captions(data)})
    order = sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())
    return tuple(order[:MOST_PROMPTS])


def _merges(data: Images, given: Mapping[str, Any]) -> tuple[str, ...]:
    own = not given.get("text_encoder")
    return tuple(" ".join(pair) for pair in _words(data).merges) if own else ()


def _length(data: Images, given: Mapping[str, Any]) -> int:
    folder = given.get("text_encoder")
    return fitting_length(folder, _captions(data)) if folder else _words(data).length


def _text_hash(data: Images, given: Mapping[str, Any]) -> str:
    folder = given.get("text_encoder")
    return weights_hash(folder) if folder else ""


MEASURED: dict[str, Callable[[Images, Mapping[str, Any]], Any]] = {
    "size": lambda data, given: data.size,
    "channels": lambda data, given: data.channels,
    "classes": lambda data, given: data.classes,
    "alpha": lambda data, given: alpha_form(data),
    "data_std": lambda data, given: pixel_std(data, given.get("alpha") or alpha_form(data)),
    "merges": _merges,
    "length": _length,
    "prompts": lambda data, given: some_captions(data),
    "text_hash": _text_hash,
}
"""Options of models that are read off the data and the options given."""


def make_plan(family: str | Family, preset: str | None, options: Mapping[str, Any]) -> Plan:
    """Settle preset and options; the options win.

    Args:
        family: a family's name, or a model to train.
        preset: name of a preset of the family; None: ``default``, or nothing for a model.
        options: flat options of model and recipe.

    Raises:
        UsageError: there is no such family.
        ConfigError: there is no such preset or option, or a value is wrong.
    """
    instance = family if isinstance(family, Family) else None
    kind = type(family) if isinstance(family, Family) else family_class(family)
    if instance is None and kind.kind == "diffusion" and _latent_wishes(options):
        kind = family_class(LATENT)
        options = {name: value for name, value in options.items() if name != "space"}
    chosen = _preset(kind, preset) if instance is None or preset else {}
    if "images" in options or "budget" in options:
        chosen = {k: v for k, v in chosen.items() if k not in ("images", "budget")}
    merged = {**chosen, **options}
    kinds = {"model": kind.config_class, "recipe": Recipe}
    parts = split_options(merged, kinds, where="--set or --config")
    if instance is not None and parts["model"]:
        key = next(iter(parts["model"]))
        raise ConfigError(f"'{key}' belongs to the model, which is built", fix="pass it there")
    if instance is None:  # a wrong value is found before the data is read; any size may come
        from_dict(kind.config_class, {"size": (1024, 1024), **parts["model"]}, where=kind.kind)
    recipe = from_dict(Recipe, parts["recipe"])
    if recipe.images is None and recipe.budget is None:
        recipe = from_dict(Recipe, {**parts["recipe"], "images": DEFAULT_IMAGES})
    if "batch" in chosen and "batch" not in options:
        recipe = override(recipe, {"batch": _batch_for(kind, recipe, merged)})
    given = options if instance is None and preset in (None, "default") else None
    named = preset or "default"
    return Plan(kind, parts["model"], recipe, instance, given=given, preset=named)


def _latent_wishes(options: Mapping[str, Any]) -> set[str]:
    """Options given that only a model in latent space has."""
    wishes = {name for name in ("autoencoder", "coder", "share") if options.get(name)}
    return wishes | ({"space"} if options.get("space") == "latent" else set())


def _batch_for(kind: type[Family], recipe: Recipe, options: Mapping[str, Any]) -> int:
    """The preset's batch, or the one that a run as short as this needs to get anywhere."""
    rounds = int(options.get(kind.rounds, 1))
    for short in kind.short:
        seconds, images = (recipe.budget or 0.0) / rounds, (recipe.images or 0) // rounds
        if seconds <= short.seconds and images <= short.images:
            return min(recipe.batch, short.batch)
    return recipe.batch


def _preset(kind: type[Family], name: str | None) -> Mapping[str, Any]:
    wanted = name or "default"
    if wanted not in kind.presets:
        raise ConfigError(
            f"{kind.kind} has no preset '{wanted}'",
            where="--preset",
            fix=nearest(wanted, kind.presets),
        )
    return kind.presets[wanted]


def run_header(
    family: Family, recipe: Recipe, data: Images, tile: int | None = None
) -> dict[str, Any]:
    """What ``run.json`` says: enough to build the model again and to know the data again."""
    return {
        "family": family.kind,
        "model": to_dict(family.config),
        "recipe": to_dict(recipe),
        "data": {
            "spec": data.spec,
            "fingerprint": data.fingerprint,
            "classes": list(data.classes),
            "facts": data.describe(),
            **({"tile": tile} if tile else {}),
        },
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def require_same(old: Mapping[str, Any], new: Mapping[str, Any], where: str) -> None:
    """Check that a command asks for the run that is already in the folder.

    Raises:
        ConfigError: family, model, recipe or data differ; the message names the first difference.
    """
    for path, before, after in _differences(old, new):
        raise ConfigError(
            f"the run in this folder was started with {path}={before}, this asks for {after}",
            where=where,
            fix="repeat the first command to resume it, or give another --out",
        )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    pairs = [("family", old.get("family"), new["family"])]
    fingerprints = [header.get("data", {}).get("fingerprint") for header in (old, new)]
    pairs.append(("data", fingerprints[0], fingerprints[1]))
    kinds = {"model": family_class(new["family"]).config_class, "recipe": Recipe}
    for part, kind in kinds.items():
        before = {**to_dict(kind()), **old.get(part, {})}  # an older version had fewer options
        pairs += [(k, before.get(k), v) for k, v in new[part].items() if k not in _FREE]
    return [(n, json.dumps(a), json.dumps(b)) for n, a, b in pairs if a != b]
