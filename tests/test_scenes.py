"""The set ``shapes``: its grammar is read as it is written, and its pictures are read exactly."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import mezzotint as mz
from mezzotint.data.scenes import (
    COLOURS,
    HELD_OUT,
    PLACES,
    RELATIONS,
    SHAPES,
    Facts,
    Figure,
    Thing,
    is_held_out,
    read,
    scene,
)
from mezzotint.data.shapes import coverage, draw_scene
from mezzotint.evaluation.agreement import agreement_values
from mezzotint.evaluation.scenes import judge, look
from mezzotint.evaluation.subject import Subject
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Prompts
from mezzotint.images import to_float
from mezzotint.progress import Silent

COUNT = 400


@pytest.fixture(scope="module")
def drawn() -> list[np.ndarray]:
    """The first pictures, as they are drawn."""
    return [draw_scene(at) for at in range(COUNT)]


def halved(picture: np.ndarray) -> np.ndarray:
    """A picture of half the side, by the mean of four pixels."""
    side = len(picture) // 2
    return np.rint(picture.reshape(side, 2, side, 2, 3).mean((1, 3))).astype(np.uint8)


def test_captions_say_what_is_there_and_are_read_as_written() -> None:
    kinds: Counter[int] = Counter()
    for at in range(2000):
        shown = scene(at)
        assert read(shown.caption) == shown.facts, shown.caption
        pairs = [(figure.colour, figure.shape) for figure in shown.figures]
        assert pairs == [(thing.colour, thing.shape) for thing in shown.facts.things]
        kinds[len(pairs)] += 1
    assert set(kinds) == {1, 2, 3}
    assert min(kinds.values()) > 200
    assert read("a photo of a cat") is None
    assert read("  A  SMALL red   Star ") == Facts((Thing("red", "star", "small"),))


def test_held_out_pairs_are_never_seen_in_training() -> None:
    assert len(HELD_OUT) == len({colour for colour, _ in HELD_OUT}) == len(COLOURS)
    assert {shape for _, shape in HELD_OUT} == set(SHAPES)
    for at in range(3000):
        pairs = {(figure.colour, figure.shape) for figure in scene(at).figures}
        assert bool(pairs & HELD_OUT) == is_held_out(at)
    seen = {(f.colour, f.shape) for at in range(3000) for f in scene(at).figures}
    assert len(seen) == len(COLOURS) * len(SHAPES)


@pytest.fixture(scope="module")
def packed() -> mz.Images:
    """The whole set at 32 pixels."""
    return mz.load_images("shapes", size=32)


def test_the_pack_keeps_the_split(packed: mz.Images) -> None:
    images = packed
    held = images.held_out.captions_of(range(len(images.held_out)))
    assert held is not None
    assert len(held) == 800
    for caption in held:
        facts = read(caption or "")
        assert facts is not None
        assert {(thing.colour, thing.shape) for thing in facts.things} & HELD_OUT


@pytest.mark.parametrize("half", [False, True])
def test_real_pictures_are_read_exactly(drawn: list[np.ndarray], half: bool) -> None:
    pictures = [halved(picture) for picture in drawn] if half else drawn
    right = [judge(picture, scene(at).facts).all for at, picture in enumerate(pictures)]
    assert np.mean(right) >= 0.99


def test_figures_are_found_where_they_are(drawn: list[np.ndarray]) -> None:
    for at, picture in enumerate(drawn[:200]):
        found = {(blob.colour, blob.shape): blob for blob in look(picture)}
        for figure in scene(at).figures:
            blob = found[figure.colour, figure.shape]
            if Counter(f.shape for f in scene(at).figures)[figure.shape] == 1:
                assert np.allclose(blob.centre, figure.centre, atol=1)
                assert abs(blob.radius - figure.radius) < 1


def test_every_wrong_word_is_noticed(drawn: list[np.ndarray]) -> None:
    sizes, other = {"small": "large", "large": "small"}, {"above": "below", "below": "above"}
    other |= {"left of": "right of", "right of": "left of"}
    noticed: Counter[str] = Counter()
    for at, picture in enumerate(drawn):
        facts = scene(at).facts
        first, *rest = facts.things
        if at > 60:
            break
        for colour in COLOURS:
            if colour != first.colour:
                wrong = Facts((first._replace(colour=colour), *rest), *facts[1:])
                assert not judge(picture, wrong).things
        for name in SHAPES:
            if name != first.shape:
                wrong = Facts((first._replace(shape=name), *rest), *facts[1:])
                assert not judge(picture, wrong).things
        if not rest and first.size:
            wrong = Facts((first._replace(size=sizes[first.size]),), *facts[1:])
            noticed["size"] += not judge(picture, wrong).size
        if facts.relation and first[:2] != rest[0][:2]:
            for relation in RELATIONS:
                if relation != facts.relation:
                    assert not judge(picture, facts._replace(relation=relation)).stand
                    noticed["relation"] += 1
        if facts.place:
            for place in PLACES:
                assert judge(picture, facts._replace(place=place)).stand == (place == facts.place)
                noticed["place"] += 1
        assert not judge(picture, Facts((*facts.things, first))).things
    assert min(noticed[name] for name in ("size", "relation", "place")) > 3


def test_blobs_and_noise_are_no_shapes() -> None:
    rng = np.random.default_rng(0)
    wanted = Facts((Thing("red", "circle"),))
    assert not judge(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8), wanted).things
    assert look(np.full((32, 32, 3), 240, np.uint8)) == []
    bar = np.full((64, 64, 3), 240, np.uint8)
    bar[30:34, 4:60] = COLOURS["red"]
    assert [blob.shape for blob in look(bar)] == []


def test_coverage_is_the_area() -> None:
    for shape, area in {"circle": np.pi, "square": (2 * 0.86) ** 2}.items():
        found = coverage(Figure(shape, "red", 20.0, (32.0, 32.0)), (64, 64)).sum()
        assert abs(found / (area * 400) - 1) < 0.03


class Copier(Family):
    """Draws the right picture for the share of prompts it is good at."""

    kind = "copier"

    def __init__(self, images: mz.Images, share: float) -> None:
        super().__init__(config=object())
        captions = images.captions_of(range(len(images))) or ()
        self.rows = {caption: row for row, caption in enumerate(captions)}
        self.images, self.share = images, share

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of its images."""
        return (3, *self.images.size)

    def prompts_of(self, seeds: list[int], prompt: list[str]) -> list[str]:
        """The prompts themselves."""
        return prompt

    def sample(self, seeds: range, prompt: list[str], **options: object):  # type: ignore[no-untyped-def]
        """The image of a prompt, or of another one."""
        rows = [self.rows[text] for text in prompt]
        wrong = [seed % 10 >= self.share * 10 for seed in seeds]
        flipped = [(row + bad) % len(self.images) for row, bad in zip(rows, wrong, strict=True)]
        return to_float(self.images.gather(flipped))


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_agreement_counts_what_is_right(packed: mz.Images, share: float) -> None:
    images = packed
    copier = Copier(images.held_out, share)
    assert isinstance(copier, Prompts)
    subject = Subject(copier, images.held_out, images.train, 100, 100, 1, "pixels", Silent())
    found = agreement_values(subject)
    assert found["shown"].floor == pytest.approx(1.0, abs=0.02)
    assert found["shown"].value == pytest.approx(share, abs=0.1)
    assert found["shown_one"].n + found["shown_two"].n + found["shown_three"].n == 100
    other = replace(subject, held_out=replace(images.held_out, spec="photos"))
    assert agreement_values(other).left_out.keys() >= {"shown", "shown_two"}
