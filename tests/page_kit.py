"""A folder with one tiny run and two models, and texts that must never be more than texts."""

from pathlib import Path

import numpy as np
from PIL import Image
from serving_kit import make_models

from mezzotint import api
from mezzotint.families.diffusion import Diffusion
from mezzotint.images import save_image
from mezzotint.runs.folder import RunFolder

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "'-alert(1)-'",
    "javascript:alert(1)",
    "</title><script>alert(1)</script>",
    "<iframe src=javascript:alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "<body onload=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<math><mtext></mtext><script>alert(1)</script>",
    "<!--><script>alert(1)</script-->",
    "<style>@import'http://evil.example/x'</style>",
    "<link rel=stylesheet href=http://evil.example/x>",
    "<meta http-equiv=refresh content=0;url=http://evil.example>",
    "<base href=http://evil.example/>",
    "<object data=http://evil.example/x>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\\u003cscript\\u003ealert(1)",
    "\u202eevil\u202c<b>",
    "<template><script>alert(1)</script></template>",
    "data:text/html,<script>alert(1)</script>",
)
SMALL = {"widths": (8, 16), "latent": 4, "size": 16, "batch": 64, "log_every": 5, "previews": 3}


def make_root(root: Path) -> Path:
    """Models ``steps`` and ``vae``, and ``tiny``: an autoencoder trained for a moment."""
    make_models(root)
    api.train("autoencoder", "digits", root / "tiny", images=1500, **SMALL)
    return root


def make_running(root: Path, name: str) -> RunFolder:
    """The folder of a run that somebody might train: whoever holds it does."""
    folder = RunFolder(root / name)
    options = {"size": (16, 16), "widths": (8, 16), "classes": list(HOSTILE[:3])}
    folder.write_header({"family": "diffusion", "model": options, "data": {"spec": HOSTILE[1]}})
    return folder


def go_on(folder: RunFolder, images: int) -> None:
    """Train a little, as far as anyone can see."""
    line = {"images": images, "step": images // 10, "progress": images / 1000, "seconds": images}
    folder.append({**line, "loss": 1000 / images, "validation_loss": 1100 / images})
    folder.samples.mkdir(exist_ok=True)
    save_image(
        folder.samples / f"samples-{images:09d}.png", np.full((8, 8, 1), images % 256, np.uint8)
    )


def make_hostile(root: Path) -> Path:
    """A model a text, and the text is the name of its folder and of a class."""
    model = Diffusion(size=(16, 16), widths=(8, 16), steps=2, classes=HOSTILE)
    for at, text in enumerate(HOSTILE):
        model.save_pretrained(root / f"{at} {text}".replace("/", "\u2215"))
    return root


def make_pictures(folder: Path, count: int = 4, name: str = "picture {}.png") -> list[Path]:
    """Pictures of noise."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name.format(at) for at in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
    return paths
