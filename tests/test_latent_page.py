"""The latent page: one file that loads nothing, hostile names as text, and a map that works."""

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from browser_kit import CHROMIUM, Browser
from PIL import Image

from mezzotint.data.dataset import Images
from mezzotint.inspection.latents import Latents
from mezzotint.inspection.projecting import Map
from mezzotint.reporting import atlas as atlases
from mezzotint.reporting.atlas import atlas_of, largest_side, sheet_of
from mezzotint.reporting.latents import json_text, latents_page, packed, placed, write_latents
from mezzotint.reporting.templating import TEMPLATES

NODE = shutil.which("node")
HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=http://evil.example/x onerror=alert(1)>',
    "<!--<script>",
    "a\u2028b\u2029c & ' \" `${1}`",
    "{{ 7 * 7 }}{% raw %}",
    'with, "comma"\nand line',
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
)


def images_of(count=60, size=(12, 10), channels=1, names=HOSTILE, labels=True):
    rng = np.random.default_rng(0)
    rows = np.arange(count)
    return Images(
        pixels=rng.integers(0, 256, (count, *size, channels), dtype=np.uint8),
        rows=rows,
        labels=rows % 3 if labels else None,
        classes=("one", HOSTILE[0], "$x$") if labels else (),
        captions=None,
        names=(*names, *(f"n{i}.png" for i in range(len(names), count)))[:count],
        train_rows=rows[:0],
        held_out_rows=rows,
        fingerprint="0" * 64,
        spec=HOSTILE[0],
    )


def latents_of(count=60, labels=True, errors=True, left_out=None):
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(count, 4))
    maps = (
        Map("pca", "PCA", vectors[:, :2], "the two directions that vary most"),
        Map("tsne", "t-SNE", vectors[:, 2:], "who is near whom"),
    )
    return Latents(
        kind="vae",
        images=images_of(count, labels=labels),
        of=count + 5,
        vectors=vectors,
        distances=np.linspace(4, 1, count),
        errors=rng.uniform(0, 0.1, count) if errors else None,
        maps=maps,
        left_out=left_out or {"umap": "not installed"},
    )


class Page(HTMLParser):
    """Elements and their attributes, texts of scripts and styles, and the visible text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.inner, self.text, self.now = [], {}, "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.now = f"{tag}{len(self.elements)}" if tag in ("script", "style") else ""

    def handle_endtag(self, tag):
        self.now = ""

    def handle_data(self, data):
        if self.now:
            self.inner[self.now] = self.inner.get(self.now, "") + data
        else:
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def data(self):
        place = next(
            f"script{at + 1}"
            for at, (tag, attrs) in enumerate(self.elements)
            if tag == "script" and attrs.get("id") == "data"
        )
        return json.loads(self.inner[place])


@pytest.fixture(scope="module")
def found():
    return latents_of()


@pytest.fixture(scope="module")
def page(found):
    return Page(latents_page(found))


def test_hostile_names_come_back_as_they_were(page, found):
    assert page.data["names"] == list(found.images.names)
    assert page.data["classes"][1] == HOSTILE[0]
    assert HOSTILE[0] in page.text
    assert HOSTILE[1] in page.text
    assert len(page.all("script")) == 2
    assert len(page.all("img")) == 1
    assert not [attrs for _, attrs in page.elements if any(k.startswith("on") for k in attrs)]


def test_json_in_a_script_is_whole_and_cannot_end_it():
    text = json_text(list(HOSTILE))
    assert json.loads(text) == list(HOSTILE)
    assert not set(text) & set("<>&\u2028\u2029")


def test_the_policy_lets_in_this_script_and_this_style_alone(page):
    rule = page.all("meta")[2]["content"]
    assert rule.startswith("default-src 'none'")
    for key, text in page.inner.items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        running = key.startswith("style") or "use strict" in text
        assert (f"'sha256-{digest}'" in rule) == running
    assert "unsafe" not in rule
    for _, attrs in page.elements:
        assert "style" not in attrs
        for key in ("src", "href", "action"):
            assert (attrs.get(key) or "data:").startswith("data:")
    assert not re.search(r"\bfetch\(|XMLHttpRequest|innerHTML|\beval\(|https?://", "".join(
        page.inner[key] for key in page.inner if "use strict" in page.inner[key]))  # fmt: skip


def test_every_control_has_a_name(page):
    labelled = {attrs.get("id") for attrs in page.all("select")}
    assert labelled == {"map", "colour"}
    canvas = page.all("canvas")[0]
    assert canvas["tabindex"] == "0"
    assert "60 images" in canvas["aria-label"]
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert canvas["aria-describedby"] in ids


def test_numbers_come_back_as_they_were(page, found):
    def numbers(text, form):
        return np.frombuffer(base64.b64decode(text), form)

    data = page.data
    assert np.array_equal(numbers(data["labels"], "<i2"), np.arange(60) % 3)
    np.testing.assert_allclose(numbers(data["error"], "<f4"), found.errors, rtol=1e-6)
    np.testing.assert_allclose(numbers(data["density"], "<f4"), found.distances, rtol=1e-6)
    for told, made in zip(data["maps"], found.maps, strict=True):
        points = numbers(told["points"], "<u2").reshape(-1, 2).astype(float)
        points[:, 1] *= -1
        scale = (made.points.max(0) - made.points.min(0)).max() / 65535
        apart = points * scale - made.points
        assert np.abs(apart - apart.mean(0)).max() < 2 * scale


def test_points_keep_their_proportions_and_one_point_is_in_the_middle():
    placed_ones = placed(np.array([[0.0, 0.0], [4.0, 2.0]]))
    assert placed_ones.tolist() == [[0, 49151], [65535, 16384]]
    assert np.abs(placed(np.ones((3, 2))) - 32767.5).max() <= 0.5
    assert packed(np.array([1, 258]), "<u2") == base64.b64encode(b"\1\0\2\1").decode()


def test_without_classes_and_reconstruction_there_is_one_colour():
    page = Page(latents_page(latents_of(labels=False, errors=False)))
    values = [attrs["value"] for attrs in page.all("option")]
    assert values == ["0", "1", "density"]
    assert page.data["labels"] is None
    assert page.data["error"] is None


def test_what_is_left_out_is_said(page):
    assert "5 of 65 images are left out" in page.text
    assert "Left out: umap: not installed." in page.text


def test_the_page_is_the_same_every_time(found):
    assert latents_page(found) == latents_page(latents_of())


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_thumbnails_lie_where_the_atlas_says(channels):
    images = images_of(23, (12, 10), channels)
    sheet, width, height, columns = sheet_of(images, 64)
    assert (width, height) == (10, 12)
    for at in range(23):
        top, left = at // columns * height, at % columns * width
        cell = sheet[top : top + height, left : left + width]
        assert np.array_equal(cell, images.gather([at])[0])
    made = atlas_of(images)
    with Image.open(io.BytesIO(base64.b64decode(made.uri.partition(",")[2]))) as picture:
        assert picture.size == (sheet.shape[1], sheet.shape[0])
    assert not made.shrunk


def test_an_atlas_that_is_too_large_gets_smaller_thumbnails():
    images = images_of(40, (64, 64), 3)
    whole, small = atlas_of(images), atlas_of(images, most=9000)
    assert (whole.width, small.width) == (64, 16)
    assert small.shrunk
    assert len(small.uri) * 3 / 4 <= 9000


@pytest.mark.parametrize("channels", [3, 4])
def test_an_atlas_of_large_pictures_is_light_whatever_they_are(channels):
    images = images_of(80, (256, 200), channels)  # noise: nothing is heavier
    made = atlas_of(images)
    assert (made.height, made.width, made.shrunk) == (128, 100, True)
    assert len(made.uri) < 80 * 128 * 100 * channels
    with Image.open(io.BytesIO(base64.b64decode(made.uri.partition(",")[2]))) as picture:
        assert max(picture.size) <= atlases.SIDE
        cell = np.asarray(picture.convert("RGB"), float)[:128, :100]
    if channels == 3:
        wanted = images.gather([0])[0].astype(float).mean((0, 1))
        assert np.abs(cell.mean((0, 1)) - wanted).max() < 6


@pytest.mark.parametrize("count", [1, 5, 4096, 20_000])
def test_every_thumbnail_fits_the_picture(count):
    side = largest_side(count)
    assert side >= 28
    assert (atlases.SIDE // side) ** 2 >= count


def node(script):
    code = (TEMPLATES / "latents_math.js").read_text(encoding="utf-8") + script
    done = subprocess.run([NODE, "-e", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(NODE is None, reason="no node here")
def test_hover_finds_the_point_that_a_full_search_finds():
    points, spots = np.random.default_rng(0).random((2, 300, 2), dtype=np.float32)
    shown = (np.arange(300) % 4 != 0).astype(int)
    found = node(f"""
        const p = Float32Array.from({points.ravel().tolist()}), g = gridOf(p, 9);
        console.log(JSON.stringify({spots.tolist()}.map(([x, y]) =>
            nearestPoint(p, g, {shown.tolist()}, x, y, 0.05))));""")
    apart = np.linalg.norm(spots[:, None].astype(float) - points, axis=-1)
    apart[:, shown == 0] = np.inf
    wanted = np.where(apart.min(1) <= 0.05, apart.argmin(1), -1)
    assert found == wanted.tolist()
    assert 0 < (wanted < 0).sum() < 300


@pytest.mark.skipif(NODE is None, reason="no node here")
def test_the_lasso_takes_what_matplotlib_says_is_inside():
    from matplotlib.path import Path

    points = np.random.default_rng(1).random((500, 2), dtype=np.float32)
    star = np.array([[0.5, 0.95], [0.6, 0.6], [0.95, 0.5], [0.6, 0.4], [0.5, 0.05], [0.1, 0.45]])
    found = node(f"""
        const p = Float32Array.from({points.ravel().tolist()}), shown = new Uint8Array(500).fill(1);
        shown[7] = 0;
        console.log(JSON.stringify(lassoed(p, shown, {star.ravel().tolist()})));""")
    wanted = np.flatnonzero(Path(star).contains_points(points))
    assert found == [row for row in wanted.tolist() if row != 7]
    assert 50 < len(found) < 450


@pytest.mark.skipif(NODE is None, reason="no node here")
def test_csv_zoom_and_arrows():
    import csv

    rows = [["name", "x"], *([name, 1] for name in HOSTILE)]
    text, held, way = node(f"""
        const view = {{scale: 100, x: 10, y: 20}}, closer = zoomed(view, 3, 40, 70, 1, 1e6);
        const p = [0.5, 0.5, 0.9, 0.52, 0.5, 0.1, 0.2, 0.5], all = [1, 1, 1, 1];
        console.log(JSON.stringify([csvOf({json.dumps(rows)}),
            [(40 - closer.x) / closer.scale, (70 - closer.y) / closer.scale],
            [[1, 0], [0, -1], [-1, 0], [0, 1]].map(([x, y]) =>
                neighbourTowards(p, all, 0, x, y))]));
    """)
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert read == [[str(cell) for cell in row] for row in rows]
    assert held == pytest.approx([0.3, 0.5])
    assert way == [1, 2, 3, 0]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [1200, 390])
def test_the_map_works_in_a_browser(found, tmp_path, width):
    path = write_latents(found, tmp_path)
    with Browser(width, 900) as browser:
        browser.open(path)
        assert browser.run("document.documentElement.scrollWidth") <= width
        where = browser.run("""(() => { const b = canvas.getBoundingClientRect(), v = state.view,
            p = maps[0].points; return [b.left + p[0] * v.scale + v.x, b.top + p[1] * v.scale + v.y,
            b.left + 2, b.top + 2, b.right - 2, b.bottom - 2]; })()""")
        x, y, left, top, right, bottom = where
        browser.mouse("mouseMoved", x, y)
        assert browser.run("at('card').hidden") is False
        assert browser.run("at('name').textContent") == HOSTILE[0]
        ink = "at('thumb').getContext('2d').getImageData(0, 0, 10, 12).data"
        shown = browser.run(f"[...{ink}].filter((_, i) => i % 4 === 0)")
        assert shown == found.images.gather([0]).ravel().tolist()
        browser.run("document.querySelector('[value=lasso]').click()")
        browser.drag([(left, top), (right, top), (right, bottom), (left, bottom)])
        assert browser.run("picked.size") == 60
        browser.run("document.querySelector('#classes input').click()")
        assert browser.run("at('many').textContent") == "40 selected"
        assert browser.run("at('files').children.length") == 40
        assert browser.run("table().split('\\r\\n').length") == 42
        browser.run("document.querySelector('#all').click(), at('clear').click(), canvas.focus()")
        for key in ("0", "ArrowRight", "ArrowRight", "Enter"):
            browser.press(key)
        assert browser.run("picked.size") == 1
        assert browser.run("at('said').textContent.includes('selected')")
        for colour in ("error", "density"):
            browser.run(
                f"at('colour').value = '{colour}', at('colour').dispatchEvent(new Event('change'))"
            )
            assert browser.run("at('scale').hidden") is False
        browser.run("at('map').value = '1', at('map').dispatchEvent(new Event('change'))")
        assert browser.run("at('note').textContent") == "t-SNE: who is near whom."
        assert browser.complaints() == []
