"""From the latents of a set to the text of ``latents.html``."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mezzotint.inspection.latents import Latents
from mezzotint.reporting.atlas import Atlas, atlas_of
from mezzotint.reporting.numbers import short
from mezzotint.reporting.templating import TEMPLATES, template
from mezzotint.storage.files import make_folder, replace_bytes

FARTHEST = 32
STYLES = ("report.css", "latents.css")
SCRIPTS = ("latents_math.js", "latents.js")
COLOURS = {
    "class": "class",
    "error": "reconstruction error (MSE)",
    "density": "latent density (distance)",
}
# beyond JSON's own: what would end a script element or a line of one
ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def write_latents(found: Latents, folder: Path) -> Path:
    """Write ``latents.html``.

    Raises:
        StorageError, CannotCreateError: it cannot be written.
    """
    path = make_folder(folder) / "latents.html"
    replace_bytes(path, latents_page(found).encode("utf-8"))
    return path


def latents_page(found: Latents) -> str:
    """The whole page; it loads nothing, and every text of the data shows as text."""
    from markupsafe import Markup

    style, script = joined(STYLES), joined(SCRIPTS)
    atlas = atlas_of(found.images)
    first = found.maps[0]
    trusted = {
        "style": Markup(style),  # noqa: S704 - files of this package
        "script": Markup(script),  # noqa: S704 - files of this package
        "data": Markup(json_text(page_data(found, atlas))),  # noqa: S704 - escaped for a script
    }
    page = template("latents.html").render(
        **trusted,
        policy=policy(style, script),
        kind=found.kind,
        spec=found.images.spec,
        count=f"{len(found.images):,}",
        maps=[each.title for each in found.maps],
        note=f"{first.title}: {first.note}.",
        colours=[(key, COLOURS[key]) for key in colours_of(found)],
        outliers=farthest(found),
        told=facts(found, atlas),
        atlas=atlas.uri,
        see_through=found.images.channels == 4,
    )
    return str(page)


def joined(names: tuple[str, ...]) -> str:
    """Files of the templates' folder, one after the other."""
    return "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


def policy(style: str, script: str) -> str:
    """A content security policy that lets in these two texts and pictures within the page."""
    allowed = f"script-src {_hash(script)}; style-src {_hash(style)}; img-src data:"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def json_text(value: Any) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(ESCAPED)


def colours_of(found: Latents) -> list[str]:
    """Keys of what the points can be coloured by."""
    there = {"class": found.images.labels is not None, "error": found.errors is not None}
    return [key for key in COLOURS if there.get(key, True)]


def page_data(found: Latents, atlas: Atlas) -> dict[str, Any]:
    """What the script reads; numbers as base64 of little-endian arrays."""
    labels = found.images.labels_of(range(len(found.images)))
    return {
        "names": list(found.images.names_of(range(len(found.images)))),
        "classes": list(found.images.classes),
        "labels": None if labels is None else packed(labels, "<i2"),
        "error": None if found.errors is None else packed(found.errors, "<f4"),
        "density": packed(found.distances, "<f4"),
        "maps": [
            {"title": each.title, "note": each.note, "points": packed(placed(each.points), "<u2")}
            for each in found.maps
        ],
        "atlas": {"width": atlas.width, "height": atlas.height, "columns": atlas.columns},
    }


def packed(values: NDArray[Any], form: str) -> str:
    """An array as base64 of its numbers in a dtype."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=form).tobytes()).decode("ascii")


def placed(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (n, 2) brought into 0 to 65535 at one scale, up the page, in the middle."""
    low, high = points.min(0), points.max(0)
    scale = max(float((high - low).max()), 1e-300)
    unit = (points - (low + high) / 2) / scale + 0.5
    unit[:, 1] = 1 - unit[:, 1]
    whole: NDArray[np.float64] = np.clip(np.rint(unit * 65535), 0, 65535)
    return whole


def farthest(found: Latents) -> list[tuple[str, str]]:
    """Names and distances of the images of least density."""
    order = np.argsort(-found.distances, kind="stable")[:FARTHEST].tolist()
    names = found.images.names_of(order)
    return [(n, short(float(found.distances[row]))) for n, row in zip(names, order, strict=True)]


def facts(found: Latents, atlas: Atlas) -> list[str]:
    """What the page shows and what it leaves out, in sentences."""
    there = len(found.images)
    told = [f"{there:,} images, {found.vectors.shape[1]:,} numbers a latent."]
    if there < found.of:
        told.append(
            f"{found.of - there:,} of {found.of:,} images are left out, evenly; see points."
        )
    if atlas.shrunk:
        told.append(f"Thumbnails are {atlas.width} x {atlas.height} pixels to keep the page small.")
    told += [f"Left out: {name}: {why}." for name, why in found.left_out.items()]
    return told
