"""Find bad images with a model that was trained on good ones."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mezzotint import detection
from mezzotint.api.opening import Data, open_images, open_model, trained_on
from mezzotint.data.cache import printable
from mezzotint.data.cutting import picture_of
from mezzotint.data.dataset import Images
from mezzotint.data.sources import open_source
from mezzotint.data.wholes import Wholes, open_wholes
from mezzotint.detection import Detection, drawing
from mezzotint.errors import DataError, MissingInputError, UsageError, nearest
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Stages
from mezzotint.features.pretrained import open_lite_stages
from mezzotint.progress import Progress, Silent
from mezzotint.runs.folder import RunFolder

OWN = "own"
PRETRAINED = {"effnet-lite0": open_lite_stages}


def detect(
    model: str | Path | Family,
    data: Data,
    false_alarms: float = 0.01,
    score: str | None = None,
    features: str = OWN,
    good: Data | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
    tile: int | None = None,
) -> Detection:
    """Score images by how far they are from the good ones a model was trained on.

    Args:
        model: a run folder, a model folder or a model.
        data: images to score; ``good`` and other folders, or a set laid out like MVTec AD, also
            give AUROC and so on.
        false_alarms: the promise: at most this share of images like the held-out good ones is
            called bad. Without enough of those there are scores and p-values but no verdict.
        score: ``combined``, ``reconstruction``, ``latent``, ``elbo`` or ``diffusion``; by default
            the first of these the family can give.
        features: what the parts that need a network look with: ``own``, the model's encoder, or
            ``effnet-lite0``.
        good: good images the model was not trained on; by default the held-out ones of what the
            run was trained on.
        out: folder for scores and pictures; by default ``detection`` in the run's folder, and none
            for a model.
        progress: where to report.
        tile: scan pictures at the size they have by overlapping tiles of this side, the model's, in
            bounded memory; the held-out good pictures that set the threshold are scanned the same
            way. None: as the run was trained; 0: shrink every picture to the model's size.

    Raises:
        UsageError: no such score or features, a rate that is not between 0 and 1, or a tile that is
            not of the model's size.
        DataError: too few good images, or images that are not what they have to be.
        MezzotintError: the model or the data cannot be read.
    """
    show = progress or Silent()
    family = open_model(model)
    require_rate(false_alarms)
    network = open_network(family, features)
    chosen = detection.parts_of(family, score, network is not None, features != OWN)
    side = tile_of(model, family, tile)
    goods: detection.Goods[Any]
    if side is None:
        tested = detection.open_tested(data, lambda spec: _images(spec, family, show))
        goods = detection.share_out(*good_sides(model, family, good, show))
    else:
        tested = detection.open_tested(_path(data), lambda spec: open_pictures(spec, family))
        goods = whole_goods(model, family, good, side, show)
    name, folder = features if network else "none", _folder(model, out)
    look = network or (lambda images: [])
    keep = None if folder is None else folder / "maps"
    settled = (chosen, name, false_alarms, show, side, keep)
    found = detection.detect(family, look, tested, goods, *settled)
    if folder is None:
        return found
    found = replace(found, pictures=drawing.draw(found, _pixels_of(tested.images), folder))
    detection.write(found, folder)
    return found


def _pixels_of(images: Images | Wholes) -> Callable[[int], NDArray[np.uint8]]:
    if isinstance(images, Wholes):
        return images.pixels
    return lambda at: images.gather([at])[0]


@dataclass(frozen=True)
class Detector:
    """A model made ready to score images one by one.

    Attributes:
        family: the model.
        scorer: its parts and their scales.
        held_out: (m,) scores of good images it was not trained on.
        heat: values of the maps where heat begins and where it is at its strongest.
        score: name of the score.
    """

    family: Family
    scorer: detection.Scorer
    held_out: NDArray[np.float64]
    heat: tuple[float, float]
    score: str


def open_detector(model: str | Path, score: str | None = None, most: int = 300) -> Detector:
    """A detector of a run, calibrated on the good images it held out.

    Args:
        model: a run folder.
        score: as for :func:`detect`.
        most: good images that set the threshold; as many as are there, but for what someone who
            waits can be asked to wait for. 100 are enough for one false alarm in a hundred.

    Raises:
        MezzotintError: as :func:`detect`.
    """
    show, family = Silent(), open_model(model)
    network = open_network(family, OWN)
    name, parts = detection.parts_of(family, score, network is not None, False)
    goods = detection.share_out(*good_sides(model, family, None, show), most)
    ground = detection.Ground(family, network or (lambda images: []), goods.fitting)
    scorer = detection.Scorer(ground, parts, goods.scaling, show)
    found = scorer.score(goods.calibrating, show)
    heat = drawing.heat_range(found.maps) if found.maps is not None else (0.0, 1.0)
    return Detector(family, scorer, found.scores, heat, name)


def detection_table(found: Detection) -> str:
    """A detection as text for people."""
    return detection.tabulated(found)


def tile_of(model: str | Path | Family, family: Family, tile: int | None) -> int | None:
    """The side of the tiles to scan by, or None to score images whole.

    Raises:
        UsageError: the model is not of that size.
    """
    asked = _header(model).get("tile") if tile is None else tile
    if not asked:
        return None
    if family.shape[1:] != (asked, asked):
        height, width = family.shape[1:]
        fix = f"give --tile {height}" if height == width else "train with --tile 256"
        raise UsageError(
            f"the model looks at {width}x{height} pixels, not at tiles of {asked}", "tile", fix
        )
    return int(asked)


def open_pictures(data: str | Path, family: Family) -> Wholes:
    """Pictures at the size they have, in the model's colours."""
    return open_wholes(open_source(data), family.shape[0])  # type: ignore[arg-type]


def whole_goods(
    model: str | Path | Family, family: Family, good: Data | None, tile: int, show: Progress
) -> detection.Goods[Wholes]:
    """Held-out good pictures by duty, and tiles of those that the run was trained on.

    Raises:
        UsageError, MissingInputError, DataError: as :func:`good_sides`, or too few are left, or one
            is smaller than a tile.
    """
    header = _header(model)
    if good is not None:
        pictures = open_pictures(_path(good), family)
        return detection.share_out_wholes(pictures, (), None, tile)
    images = _own_images(header, family, str(model), show)
    pictures = open_pictures(header["spec"], family)
    names = images.held_out.names_of(range(len(images.held_out)))
    apart = {picture_of(name) if header.get("tile") else name for name in names}
    held = [at for at, name in enumerate(pictures.names) if printable(name) in apart]
    others = [at for at in range(len(pictures)) if at not in set(held)]
    known = detection.whole_digests(pictures.subset(others))
    rows = detection.drawn(images.train) if header.get("tile") else None
    fitting = None if rows is None else images.train.gather(rows)
    return detection.share_out_wholes(pictures.subset(held), known, fitting, tile)


def _path(data: Data) -> str | Path:
    if isinstance(data, Images):
        raise UsageError("packed images have one size", "tile", "name the folder they are from")
    return data


def require_rate(rate: float) -> None:
    """Check a false-alarm rate.

    Raises:
        UsageError: it is not between 0 and 1.
    """
    if not 0 < rate < 1:
        raise UsageError(
            f"a false-alarm rate of {rate} promises nothing", "false-alarms", "give 0.01 or so"
        )


def open_network(family: Family, features: str) -> detection.Network | None:
    """Images in [-1, 1] to maps: the model's own or a pretrained network; None where it has none.

    Raises:
        UsageError: there are no such features.
        MissingExtraError, DataError: the weights are not there, or others.
    """
    if features != OWN:
        if features not in PRETRAINED:
            fix = nearest(features, [OWN, *PRETRAINED])
            raise UsageError(f"there are no features '{features}'", "features", fix)
        return PRETRAINED[features](family.shape[1:])
    if not isinstance(family, Stages):
        return None
    model = family

    def look(images: Tensor) -> list[Tensor]:
        return [part.cpu() for part in model.stages(images)]

    return look if model.stages(_blank(family)) else None


def good_sides(
    model: str | Path | Family, family: Family, good: Data | None, show: Progress
) -> tuple[Images, Images | None]:
    """Held-out good images, and those the run was trained on where they are at hand.

    Raises:
        UsageError: there is no run that says what it was trained on.
        MissingInputError, DataError: its images are not there any more, or others.
    """
    header = _header(model)
    trained_with = header.get("fingerprint")
    if good is None:
        images = _own_images(header, family, str(model), show)
        return images.held_out, images.train
    images = _images(good, family, show)
    if images.fingerprint == trained_with and len(images) == len(images.pixels):
        return images.held_out, images.train
    only_held_out = len(images.held_out) == len(images) < len(images.pixels)
    return images, trained_on(images) if only_held_out else None


def _own_images(header: dict[str, Any], family: Family, where: str, show: Progress) -> Images:
    if not header:
        raise UsageError(
            "only a run says which good images it was not trained on", where, "name some with good"
        )
    spec = header["spec"]
    try:
        images = _images(spec, family, show, header.get("tile"))
    except MissingInputError as error:
        fix = "name its new place, or other good images, with --good"
        raise MissingInputError("the run's images are not here any more", spec, fix) from error
    if images.fingerprint != header["fingerprint"]:
        raise DataError(
            "these are not the images the run was trained on: some were added, taken or changed",
            spec,
            "name good images the run was not trained on with --good",
        )
    return images


def _header(model: str | Path | Family) -> dict[str, Any]:
    """``spec``, ``fingerprint``, ``tile`` of what a run was trained on; nothing without a run."""
    if isinstance(model, Family):
        return {}
    run = RunFolder(Path(model))
    if not run.exists():
        return {}
    told = run.header().get("data")
    known = isinstance(told, dict) and all(
        isinstance(told.get(key), str) for key in ("spec", "fingerprint")
    )
    if not known or not told:
        return {}
    tile = told.get("tile")
    found = {key: told[key] for key in ("spec", "fingerprint")}
    return found | ({"tile": tile} if isinstance(tile, int) else {})


def _images(data: Data, family: Family, show: Progress, tile: int | None = None) -> Images:
    return open_images(data, family.shape[1:], family.shape[0], show, tile=tile)


def _blank(family: Family) -> Tensor:
    import torch

    return torch.zeros(1, *family.shape)


def _folder(model: str | Path | Family, out: str | Path | None) -> Path | None:
    if out is not None:
        return Path(out)
    return None if isinstance(model, Family) else Path(model) / "detection"
