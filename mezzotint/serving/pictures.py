"""What a worker does with uploaded pictures: rebuild them, describe them, find what is wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mezzotint.api.detecting import Detector, open_detector
from mezzotint.detection.drawing import overlays
from mezzotint.families.capabilities import Encodes, Reconstructs
from mezzotint.images import png_bytes, to_float, to_uint8
from mezzotint.imaging.decode import Unreadable, decode, fit, probe
from mezzotint.metrics.conformal import conformal_threshold, p_values
from mezzotint.progress import Silent
from mezzotint.serving.limits import Limits
from mezzotint.serving.models import Opened
from mezzotint.serving.refusing import Refusal
from mezzotint.training.previews import damaged, rebuilt

Pixels = NDArray[np.uint8]
Answer = tuple[dict[str, Any], list[bytes]]


def decoded(files: list[bytes], size: tuple[int, int], channels: int, limits: Limits) -> Pixels:
    """Uploaded files as uint8 (n, H, W, C); every header is looked at before a pixel is decoded.

    Raises:
        Refusal: a file is no picture or too large; names the field.
    """
    total = 0
    for at, data in enumerate(files):
        found = _readable(at, lambda data=data: probe(data, ""))  # type: ignore[misc]
        total += found.width * found.height
        if found.width * found.height > limits.image_pixels or total > limits.request_pixels:
            raise Refusal(413, f"picture {at} has too many pixels", "image", "too_large")
    return np.stack([_readable(at, lambda data=data: _fitted(data, size, channels))  # type: ignore[misc]
                     for at, data in enumerate(files)])  # fmt: skip


def _fitted(data: bytes, size: tuple[int, int], channels: int) -> Pixels:
    return fit(decode(data, "", channels, at_least=size), size)  # type: ignore[arg-type]


def _readable(at: int, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Unreadable as error:
        status = 413 if error.reason == "too-large" else 400
        told = f"picture {at} cannot be read: {error.reason}"
        raise Refusal(status, told, "image", error.reason.replace("-", "_")) from None


@torch.inference_mode()
def reconstruct(model: Opened, pixels: Pixels, options: dict[str, Any]) -> Answer:
    """The model's version of each picture, and how far off it is.

    A model that samples from a picture takes ``strength`` of the noise and walks back.
    """
    family: Any = model.family
    noise = options.get("noise")
    if isinstance(model.family, Reconstructs):
        seen = pixels if noise is None else damaged(family, pixels, noise)
        made = rebuilt(family, seen)
    elif "image" in family.sampling:
        seen = pixels
        given = {key: options[key] for key in ("strength", "steps") if key in options}
        told = {"label": "none"} if getattr(family.config, "classes", ()) else {}
        seeds = [options.get("seed", 0)] * len(pixels)
        made = to_uint8(family.sample(seeds, image=to_float(pixels), **told, **given))
    else:
        raise Refusal(400, f"{family.kind} does not reconstruct", "model", "not_able")
    errors = ((made.astype(np.float64) - pixels) / 255) ** 2
    head = {"errors": errors.mean((1, 2, 3)).tolist()}
    return head, [png_bytes(one) for row in zip(pixels, seen, made) for one in row]


@torch.inference_mode()
def encode(model: Opened, pixels: Pixels, options: dict[str, Any]) -> Answer:
    """A vector of each picture."""
    family: Any = model.family
    if not isinstance(family, Encodes):
        raise Refusal(400, f"{family.kind} does not encode", "model", "not_able")
    return {"vectors": family.embed(to_float(pixels)).float().cpu().tolist()}, []


def anomaly(model: Opened, pixels: Pixels, options: dict[str, Any]) -> Answer:
    """Score, p-value, verdict and heat of each picture, and the scores of good ones."""
    detector: Detector = model.made.get("detector") or open_detector(model.path)
    model.made["detector"] = detector
    found = detector.scorer.score(pixels, Silent())
    limit = conformal_threshold(detector.held_out, options.get("false_alarms", 0.01))
    threshold = limit if np.isfinite(limit) else None
    head = {
        "score": detector.score,
        "threshold": threshold,
        "scores": found.scores.tolist(),
        "p_values": p_values(detector.held_out, found.scores).tolist(),
        "held_out": sorted(detector.held_out.tolist()),
    }
    shown = (
        pixels if found.maps is None else overlays(pixels, np.asarray(found.maps), *detector.heat)
    )
    return head, [png_bytes(one) for pair in zip(pixels, shown) for one in pair]


@torch.inference_mode()
def decode_rows(model: Opened, rows: NDArray[np.float32]) -> Answer:
    """Images of flat latents, float32 (n, d)."""
    if not isinstance(model.family, Encodes):
        raise Refusal(400, f"{model.family.kind} does not decode", "model", "not_able")
    return {}, [
        png_bytes(one) for one in to_uint8(model.family.decode(torch.from_numpy(rows.copy())))
    ]


DOES: dict[str, Callable[[Opened, Pixels, dict[str, Any]], Answer]] = {
    "reconstruct": reconstruct,
    "encode": encode,
    "anomaly": anomaly,
}
