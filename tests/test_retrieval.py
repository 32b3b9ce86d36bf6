"""The small CLIP that tells which prompt a picture is of, and the share that it finds."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import mezzotint as mz
from mezzotint.evaluation import retrieval
from mezzotint.evaluation.retrieval import distinct, hits, retrieval_values
from mezzotint.evaluation.subject import Subject
from mezzotint.families.base import Family
from mezzotint.features import learning, matching
from mezzotint.images import to_float
from mezzotint.nets.matching import Matcher, contrastive_loss
from mezzotint.progress import Silent

COLOURS = {"red": (220, 30, 30), "green": (30, 190, 60), "blue": (40, 60, 220),
           "white": (250, 250, 250), "black": (10, 10, 10), "yellow": (230, 210, 40)}  # fmt: skip
SIDES = ("left", "right")
CAPTIONS = [f"a {colour} bar on the {side}" for colour in COLOURS for side in SIDES]


def drawn(caption: str, rng: np.random.Generator) -> np.ndarray:
    _, colour, *_, side = caption.split()
    picture = np.full((16, 16, 3), 128, np.uint8)
    picture[:, 1:6] = COLOURS[colour]
    picture = picture if side == "left" else picture[:, ::-1]
    return np.clip(picture + rng.integers(-9, 10, picture.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng = np.random.default_rng(0)
    captions = [str(one) for one in rng.permutation(CAPTIONS * 30)]
    file = tmp_path_factory.mktemp("bars") / "bars.npz"
    np.savez(file, images=np.stack([drawn(one, rng) for one in captions]), captions=captions)
    return mz.load_images(file)


def test_the_loss_is_the_mean_of_two_cross_entropies():
    one, two = (F.normalize(torch.randn(5, 7), dim=1) for _ in range(2))
    table, right = 3.0 * one @ two.T, torch.arange(5)
    wanted = (F.cross_entropy(table, right) + F.cross_entropy(table.T, right)) / 2
    found = contrastive_loss(one, two, torch.tensor(3.0), torch.eye(5, dtype=torch.bool))
    assert torch.allclose(found, wanted)


def test_equal_captions_do_not_push_each_other_away():
    """At the best table for two equal captions of three, all that is left is their entropy."""
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    same = (vectors[:, None] == vectors[None]).all(2)
    found = contrastive_loss(vectors, vectors, torch.tensor(50.0), same)
    assert float(found) == pytest.approx(2 / 3 * math.log(2), abs=1e-5)


def test_what_comes_after_the_end_of_a_text_changes_nothing():
    torch.manual_seed(0)
    network = Matcher(3, 20, 8).eval()
    text = torch.tensor([[18, 3, 4, 19, 19, 19, 19, 19], [18, 3, 4, 19, 5, 6, 7, 19]])
    with torch.no_grad():
        first, second = network.texts(text)
        other = network.texts(torch.tensor([[18, 4, 3, 19, 19, 19, 19, 19]]))[0]
    assert torch.allclose(first, second, atol=1e-6)
    assert not torch.allclose(first, other, atol=1e-3)  # the order of words counts


def test_each_caption_counts_once():
    assert distinct(["a cat", "a dog", " A cat", "a bird", "a dog"]) == [0, 1, 3]


def test_hits_are_counted_among_as_many():
    class Planted:
        def similarities(self, pixels, captions):
            return np.array([[float(one == int(two)) for two in captions] for one in pixels])

    names = [str(at) for at in range(6)]
    assert hits(Planted(), np.array([0, 1, 5, 3, 4, 2]), names, 3).tolist() == [
        True, True, False, True, True, False
    ]  # fmt: skip


class Painter(Family):
    """Draws what it is asked for, or something else."""

    kind, config_class, presets = "painter", dict, {"default": {}}

    def __init__(self, right: bool) -> None:
        torch.nn.Module.__init__(self)
        self.right = right

    def sample(self, seeds, batch=64, prompt=None):
        rng = np.random.default_rng(len(seeds))
        asked = prompt if self.right else rng.permutation(CAPTIONS * 50)[: len(prompt)]
        return to_float(np.stack([drawn(one, rng) for one in asked]))


def test_right_pictures_are_found_and_others_by_chance(data):
    def share(right):
        subject = Subject(Painter(right), data.held_out, data, 100, None, 1, "pixels", Silent())
        return retrieval_values(subject)["r_precision"]

    found, other = share(True), share(False)
    assert found.value >= 0.9
    assert found.floor >= 0.9  # the real pictures
    assert other.value <= 0.5
    assert "chance 8.3%" in found.note
    assert found.features.startswith("matcher ")
    assert found.features == other.features


def test_what_was_learnt_is_kept(data, monkeypatch):
    first = matching.open_caption_scorer(data.held_out, Silent())
    monkeypatch.setattr(learning, "_taught", lambda *_: pytest.fail("learnt again"))
    again = matching.open_caption_scorer(data, Silent())
    assert first.sha256 == again.sha256
    pictures = data.gather(range(4))
    assert np.array_equal(
        first.similarities(pictures, CAPTIONS), again.similarities(pictures, CAPTIONS)
    )


def test_few_captions_are_told(data, monkeypatch):
    monkeypatch.setattr(retrieval, "FEWEST", 13)
    subject = Subject(Painter(True), data.held_out, data, 100, None, 1, "pixels", Silent())
    assert retrieval_values(subject).left_out["r_precision"].startswith("it takes 13 different")
