"""The report: one file that leads nowhere, shows hostile names as text, and draws what is."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mezzotint as mz
from mezzotint.comparison import Comparison
from mezzotint.comparison.contenders import Contender
from mezzotint.comparison.trials import AGAIN, MADE, REAL, Point, Suspect, Trial
from mezzotint.evaluation import Evaluation, Value
from mezzotint.reporting.charts import HEIGHT, REFERENCE, WIDTH, Scale, chart, strokes, ticks
from mezzotint.reporting.numbers import short, spell_seconds
from mezzotint.reporting.page import report_page, spectrum_charts
from mezzotint.reporting.pictures import MOST_CLOSE, close_up, picture_uri, sheet_uri, shrunk

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=http://evil.example/x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "</style></svg><iframe src=//evil.example>",
    "&lt;b&gt; \u202egnp.exe \x1b[31m\x00",
]
VOID = {"meta", "img", "input"}


def value(number: float, half: float | None = 1.0, **more: Any) -> Value:
    ends = (None, None) if half is None else (number - half, number + half)
    return Value(number, *ends, 60, "FD", features="pixels@00000000", resize="none", **more)


def trial(name: str, model: mz.VAE, makes: bool, rng: np.random.Generator, hostile: str) -> Trial:
    def pixels(count: int) -> np.ndarray:
        return rng.integers(0, 256, (count, 16, 16, 1), dtype=np.uint8)

    found = {"perceptual": value(0.5, 0.1), "parameters": value(1000, None)}
    if makes:
        found |= {"frechet": value(10 + 5 * len(name), floor=2.0), "images_per_s": value(9, None)}
    points = tuple(Point(at, value(30 / at), hostile) for at in (1.0, 2.0, 4.0))
    suspects = tuple(
        Suspect(*pixels(2), seed, hostile, seed / 10) for seed in range(3 if makes else 0)
    )
    return Trial(
        Contender(
            name, model, Path("runs") / hostile.replace("\x00", ""), 4.0, 900, {}, (hostile,)
        ),
        Evaluation(found, {"copied": hostile}),
        {"perceptual": points} | ({"frechet": points} if makes else {}),
        points if makes else (),
        pixels(32) if makes else None,
        pixels(8),
        suspects,
        {REAL: points, AGAIN: points} | ({MADE: points} if makes else {}),
    )


def comparison(hostile: str = "plain") -> Comparison:
    rng, model = np.random.default_rng(0), mz.VAE(size=16, widths=(4, 8), latent=3)
    names = [f"a {hostile}", f"bb {hostile}", "ae"]
    trials = [trial(name, model, name != "ae", rng, hostile) for name in names]
    real = rng.integers(0, 256, (32, 16, 16, 1), dtype=np.uint8)
    data = {"spec": hostile, "fingerprint": "f" * 64, "facts": [hostile], "train": 5, "held_out": 6}
    how = {"budget_seconds": 4.0, "seed": 0, "options": {"size": hostile}, "n": 60}
    how |= {"extractor": "pixels@00000000", "resize": hostile, "versions": {"mezzotint": "1"}}
    how |= {"machine": {"system": hostile, "cpus": 2, "threads": 1, "cuda": [hostile]}}
    return Comparison(trials, real, real[:8], data, how, (hostile,))


class Page(HTMLParser):
    """Elements with their attributes, the visible text, and whether all that opens is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.open, self.styles = "", [], ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.styles += data
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


WORDS = """html head meta title style body header main section footer article p h1 h2 h3 ul li dl
dt dd div span strong em b small code table caption thead tbody tr th td figure figcaption img svg g
line path polyline text details summary"""
ALLOWED = set(WORDS.split())


def require_closed(page: Page) -> None:
    """Nothing in a page runs, loads or leads anywhere."""
    assert page.open == []
    for tag, attributes in page.elements:
        assert tag in ALLOWED, tag
        for name, content in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("href", "srcset", "action", "style", "formaction", "data"), name
            if name == "src":
                assert re.match(r"data:image/(png|jpeg|webp);base64,", content or "")
    assert "@import" not in page.styles
    assert "url(" not in page.styles
    policy = [m["content"] for m in page.all("meta") if m.get("http-equiv")]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_texts_are_shown_as_texts(hostile: str) -> None:
    plain, page = Page(report_page(comparison())), Page(report_page(comparison(hostile)))
    require_closed(page)
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    shown = re.sub(r"[\x00\x1b\u202e]", lambda m: repr(m[0])[1:-1], hostile)
    assert page.text.count(shown) > 20
    assert shown in (page.all("img")[-1]["alt"] or "")


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(report_page(comparison()))


def test_a_page_is_made_for_phones_readers_and_both_lights(page: Page) -> None:
    require_closed(page)
    assert page.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all(
        "meta"
    )
    for tag in ("main", "header", "footer", "head", "h1"):
        assert len(page.all(tag)) == 1, tag
    assert all(attributes.get("alt") for attributes in page.all("img"))
    assert {attributes.get("scope") for attributes in page.all("th")} == {"col", "row"}
    assert len(page.all("caption")) == len(page.all("table"))
    regions = [each for each in page.all("div") if each.get("class") == "scroll"]
    assert len(regions) == len(page.all("table"))
    assert all(each["tabindex"] == "0" and each["aria-label"] for each in regions)
    named = {attributes.get("id") for _, attributes in page.elements}
    assert {each["aria-labelledby"] for each in page.all("section")} <= named
    for query in ("prefers-color-scheme: dark", "@media print"):
        assert query in page.styles
    charts = [each for each in page.all("svg") if each.get("role") == "img"]
    assert len(charts) == 6  # two over time, one over cost, a spectrum a model
    assert all(each["aria-label"] for each in charts)


def test_colours_of_texts_have_contrast(page: Page) -> None:
    light, dark = re.findall(r":root \{(.*?)\}", page.styles, re.DOTALL)[:2]
    for block in (light, dark):
        colours = dict(re.findall(r"--(\w+): (#\w+)", block))
        for ink in ("ink", "soft", "good", "bad"):
            for paper in ("paper", "band"):
                assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
        assert contrast(colours["good"], colours["mark"]) >= 4.5
        assert contrast(colours["soft"], colours["mark"]) >= 4.5
        assert all(contrast(colours[f"c{at}"], colours["paper"]) >= 3 for at in range(6))


def contrast(one: str, two: str) -> float:
    """(L1 + 0.05) / (L2 + 0.05) of WCAG 2.2."""
    bright, dim = sorted((luminance(one), luminance(two)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * letter for letter in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_best_is_marked_only_where_it_is_apart() -> None:
    found = comparison()
    assert found.ranks["frechet"].best == "a plain"
    assert report_page(found).count('<td class="best">') == 1
    wide = [
        replace(each, found=Evaluation({**each.found.measured, "frechet": value(30, 20)}))
        if "frechet" in each.found
        else each
        for each in found.trials
    ]
    text = report_page(replace(found, trials=wide))
    assert '<td class="best">' not in text
    assert "Not told apart at making new images: a plain and bb plain" in text


def test_json_has_everything_but_pictures() -> None:
    told = json.loads(json.dumps(comparison().as_dict(), allow_nan=False))
    assert [each["name"] for each in told["models"]] == ["a plain", "bb plain", "ae"]
    assert told["ranks"]["frechet"] == {"best": "a plain", "tied": [], "why": "", "better": "lower"}
    assert told["models"][0]["over_cost"][0] == {
        "at": 1.0, "value": 30.0, "low": 29.0, "high": 31.0, "n": 60, "note": "plain",
    }  # fmt: skip
    assert len(told["models"][0]["nearest_training_images"]) == 3


# pictures


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_small_pictures_stay_exact() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 12, 3), dtype=np.uint8)
    sheet = np.array(decoded(sheet_uri(pixels)))
    assert sheet.shape == (16, 3 * 13 - 1, 3)
    assert np.array_equal(sheet[:, 13:25], pixels[1])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_large_pictures_are_shrunk_and_light(channels: int) -> None:
    rows = np.linspace(0, 255, 512, dtype=np.uint8)
    noise = np.random.default_rng(0).integers(0, 20, (8, 512, 256, channels))
    pixels = np.clip(rows[None, :, None, None] + noise, 0, 255).astype(np.uint8)
    assert shrunk(pixels).shape == (8, 96, 48, channels)
    uri = sheet_uri(np.repeat(pixels, 4, 0))
    assert decoded(uri).size == (8 * 49 - 1, 4 * 97 - 1)
    assert len(uri) < 150_000
    assert shrunk(pixels[:, :20, :20]).shape[1:3] == (20, 20)


def test_a_see_through_picture_stays_so_however_heavy() -> None:
    noisy = np.random.default_rng(0).integers(0, 256, (200, 200, 4), dtype=np.uint8)
    noisy[..., 3] = np.where(np.arange(200) < 100, 0, 255)
    picture = decoded(picture_uri(noisy))
    assert picture.mode == "RGBA"
    assert np.array_equal(np.array(picture)[..., 3], noisy[..., 3])


def large(found: Comparison, shape: tuple[int, int, int]) -> Comparison:
    """A comparison with pictures of noise, which no format makes small."""
    rng = np.random.default_rng(0)

    def pixels(count: int) -> np.ndarray:
        return rng.integers(0, 256, (count, *shape), dtype=np.uint8)

    trials = [
        replace(each, samples=None if each.samples is None else pixels(12), rebuilt=pixels(8))
        for each in found.trials
    ]
    return replace(found, trials=trials, real=pixels(12), looked_at=pixels(8))


@pytest.mark.parametrize("shape", [(256, 256, 3), (128, 128, 4), (600, 400, 3)])
def test_a_page_of_large_pictures_is_bounded_and_has_some_pixel_for_pixel(
    shape: tuple[int, int, int],
) -> None:
    found = large(comparison(), shape)
    text = report_page(found)
    assert len(text) < 2 * MOST_CLOSE
    page = Page(text)
    assert page.open == []
    close = [each for each in page.all("div") if each.get("class") == "close"]
    assert len(close) == 7
    assert all(each["tabindex"] == "0" and each["aria-label"] for each in close)
    exact = [np.array(decoded(str(each["src"]))) for each in page.all("img")
             if str(each["alt"]).endswith("pixel for pixel")]  # fmt: skip
    assert len(exact) == len(close)
    whole = found.real[0]
    height, width = min(exact[0].shape[0], shape[0]), min(exact[0].shape[1], shape[1])
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    wanted = whole[top : top + height, left : left + width]
    assert np.array_equal(exact[0][:height, :width], wanted)
    assert ("see-through" in str(page.all("main"))) == (shape[2] == 4)
    assert len(page.all("input")) == (3 if shape[2] == 4 else 0)


def test_as_many_pictures_are_shown_pixel_for_pixel_as_have_room() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 100, 80, 3), dtype=np.uint8)
    one = 100 * 80 * 3
    shown = [close_up(pixels, int(most * one)) for most in (9, 3.2, 1.1, 0.5)]
    assert [each and (each.shown, each.whole) for each in shown] == [
        (4, True), (3, True), (1, True), None,
    ]  # fmt: skip
    middle = close_up(pixels.repeat(2, 1).repeat(2, 2), one // 2)
    assert middle is not None
    assert (middle.shown, middle.height, middle.width, middle.whole) == (1, 100, 80, False)


# charts and numbers


def test_an_axis_is_logarithmic_and_keeps_within_its_ends() -> None:
    scale = Scale(1, 100, 0, 200)
    assert [scale.at(number) for number in (0.1, 1, 10, 100, 1e9)] == [0, 0, 100, 200, 200]


@pytest.mark.parametrize(("low", "high"), [(0.5, 3.4), (1e-4, 1e5), (20, 25), (3, 3.5), (1, 1e15)])
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert len(found) <= 6
    assert all(low <= tick <= high for tick in found)
    assert found == sorted(set(found))
    if high >= 3 * low:
        assert len(found) >= 2


def test_a_chart_keeps_every_point_inside_and_every_colour() -> None:
    points = [Point(at, value(50 / at, 60)) for at in (3.0, 1.0, 900.0)]
    drawn = chart(
        {"x": points, "y": [Point(0.0, value(1))], "z": points[:1]}, strokes("xyz"), "s", "FD"
    )
    assert drawn is not None
    assert [(line.name, line.colour) for line in drawn.lines] == [("x", 0), ("z", 2)]
    for line in drawn.lines:
        xs = [dot.x for dot in line.dots]
        assert xs == sorted(xs)
        for dot in line.dots:
            assert drawn.left <= dot.x <= drawn.right <= WIDTH
            assert 0 < drawn.top <= dot.high <= dot.y <= dot.low <= drawn.bottom < HEIGHT
    assert chart({"x": [], "y": ()}, strokes("xy"), "s", "FD") is None


def test_spectra_stand_beside_real_ones_in_the_colour_of_their_model() -> None:
    drawn = spectrum_charts(comparison())
    assert [name for name, _ in drawn] == ["a plain", "bb plain", "ae"]
    for at, (name, picture) in enumerate(drawn):
        lines = {line.name: (line.colour, line.broken) for line in picture.lines}
        made = {} if name == "ae" else {MADE: (at, False)}
        assert lines == {REAL: (REFERENCE, False), AGAIN: (at, True), **made}
    text = report_page(comparison())
    assert text.count('<polyline class="broken"') == 3
    assert f".c{REFERENCE} " in text


def test_numbers_as_a_reader_meets_them() -> None:
    numbers = {
        0.012345: "0.0123",
        0.5: "0.5",
        1: "1",
        12.345: "12.3",
        123.4: "123",
        12345.6: "12,346",
    }
    assert {number: short(number) for number in numbers} == numbers
    assert short(None) == ""
    times = {4.04: "4 s", 90: "90 s", 600: "10 min", 5400: "1 h 30 min", 7199: "2 h 0 min"}
    assert {seconds: spell_seconds(seconds) for seconds in times} == times
