"""Groups of alike images: found, drawn in the data's proportions, told to the network."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

import mezzotint as mz
from mezzotint.errors import ConfigError
from mezzotint.families.diffusion import Diffusion
from mezzotint.families.groups import Groups, groups_for
from mezzotint.seeds import BatchNoise

SHAPE = (1, 20, 28)


def blobs(counts, seed=0):
    """Images of a few plain patterns with a little noise, and the pattern of each."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randn((len(counts), 1, 5, 7), generator=generator)
    kinds = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    images = torch.nn.functional.interpolate(patterns[kinds], SHAPE[1:])
    return images + 0.1 * torch.randn(images.shape, generator=generator), kinds


def test_patterns_are_found_with_their_shares():
    images, kinds = blobs([50, 100, 250])
    groups = Groups(3, 0, SHAPE)
    assert not groups.fitted
    groups.fit(images)
    found = groups(images)
    assert adjusted_rand_score(kinds, found) == 1
    assert groups.fitted
    np.testing.assert_allclose(sorted(groups.share), [0.125, 0.25, 0.625])


def test_groups_lie_inside_classes():
    images, kinds = blobs([60, 60, 80, 80])
    labels = kinds % 2
    groups = Groups(4, 2, SHAPE)
    groups.fit(images, labels)
    assert torch.equal(groups.owners, torch.tensor([0, 0, 1, 1]))
    assert adjusted_rand_score(kinds, groups(images, labels)) == 1
    assert torch.equal(groups.owners[groups(images, labels)], labels)
    swapped = groups(images, 1 - labels)  # the class that is asked for wins over the looks
    assert torch.equal(groups.owners[swapped], 1 - labels)
    unknown = groups(images, torch.full_like(labels, -1))
    assert torch.equal(unknown, groups(images, labels))


def test_draws_keep_the_shares_inside_the_class_asked_for():
    groups = Groups(6, 2, SHAPE)
    groups.share.copy_(torch.tensor([0.1, 0.3, 0.0, 0.0, 0.12, 0.48]))
    uniform = (torch.arange(10_000) + 0.5) / 10_000
    counts = torch.bincount(groups.draw(uniform), minlength=6) / 10_000
    torch.testing.assert_close(counts, groups.share, atol=2e-4, rtol=0)
    labels = torch.ones(10_000, dtype=torch.int64)
    inside = torch.bincount(groups.draw(uniform, labels), minlength=6) / 10_000
    torch.testing.assert_close(inside, torch.tensor([0, 0, 0, 0, 0.2, 0.8]), atol=2e-4, rtol=0)
    assert groups.draw(torch.tensor([0.0]), torch.tensor([1])).item() == 4
    assert groups.draw(torch.tensor([0.0])).item() == 0


def test_fitting_twice_finds_the_same():
    images, _ = blobs([40, 70, 90])
    first, second = Groups(8, 0, SHAPE), Groups(8, 0, SHAPE)
    first.fit(images)
    second.fit(images)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_a_class_with_fewer_images_than_groups():
    images, kinds = blobs([3, 200])
    groups = Groups(20, 2, SHAPE)
    groups.fit(images, kinds)
    assert (groups.share[:10] > 0).sum() == 3
    drawn = groups.draw(torch.rand(500), torch.zeros(500, dtype=torch.int64))
    assert set(drawn.tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("images", "classes", "count"),
    [(50, 0, 0), (199, 0, 0), (200, 0, 2), (1617, 10, 0), (2500, 10, 20), (10**6, 0, 64),
     (54_000, 10, 60), (54_000, 40, 0), (54_000, 102, 0)],
)  # fmt: skip
def test_how_many(images, classes, count):
    assert groups_for(images, classes) == count


def test_uneven_groups_are_refused():
    with pytest.raises(ConfigError, match="evenly"):
        Diffusion(size=16, classes=("a", "b", "c"), groups=8)


def small(**options):
    torch.manual_seed(0)
    return Diffusion(size=SHAPE[1:], widths=(8, 16), steps=2, solver="euler", **options)


def test_the_network_is_told_the_group_of_each_training_image():
    model = small(groups=3, label_dropout=0.0)
    images, _ = blobs([5, 5, 6])
    model.prepare(images, None)
    told = []
    model.network.register_forward_hook(lambda module, given, out: told.append(given[2]))
    batch = mz.families.base.Batch(images, BatchNoise((0,), len(images)))
    model.loss(batch)
    assert torch.equal(told[0], model.told.groups(images))
    hiding = small(groups=3, label_dropout=1.0)
    hiding.told.load_state_dict(model.told.state_dict())
    hiding.network.register_forward_hook(lambda module, given, out: told.append(given[2]))
    hiding.loss(batch)
    assert (told[1] == -1).all()


def test_samples_draw_groups_by_their_own_seed_in_the_class_asked_for():
    model = small(groups=6, classes=("a", "b"))
    images, kinds = blobs([9, 9, 9, 9])
    model.prepare(images, kinds % 2)
    one = model.told.asked([7], [1])
    many = model.told.asked(range(300), [1] * 300)
    assert many[7] == one[0]
    assert set(model.told.groups.owners[many].tolist()) == {1}
    assert len(set(many.tolist())) == 3
    whole = model.sample(range(20), label="b")
    assert torch.equal(whole[13:14], model.sample([13], label="b"))


def test_an_image_to_start_from_brings_its_own_group():
    model = small(groups=4)
    images, _ = blobs([9, 9, 9, 9])
    model.prepare(images, None)
    told = model.told.asked([0, 1, 2], None, images[20:21])
    assert (told == model.told.groups(images[20:21])).all()


def test_training_finds_groups_and_a_model_keeps_them(tmp_path):
    data = mz.load_images("digits")
    options = {"widths": (8, 16), "images": 256, "batch": 64, "previews": 0, "classes": ()}
    run = mz.train("diffusion", data, out=tmp_path / "r", **options)
    assert run.model.config.groups == groups_for(len(data.train), 0) == 16
    groups = run.model.told.groups
    assert groups.fitted
    assert torch.equal(groups.share, mz.load(run.path).told.groups.share)
    again = mz.load(run.path).sample([3, 4])  # in another memory layout, which rounds otherwise
    torch.testing.assert_close(again, run.model.sample([3, 4]), atol=1e-4, rtol=0)
    student = mz.distill(run, data, out=tmp_path / "s", images=64, batch=32, previews=0)
    assert torch.equal(student.model.told.groups.centres, groups.centres)
