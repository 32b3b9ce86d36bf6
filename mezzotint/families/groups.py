"""What a diffusion model is told of an image: its class, or a group of alike images (2403.00570).

Groups are found before training. Told which one an image belongs to, a small network learns each
kind of image apart and in far fewer steps. A sample draws its group by the groups' shares first, so
the images keep the proportions of the data. With classes, every group lies inside one class.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mezzotint.seeds import ImageNoise

CELLS, AXES = 16, 48
MOST, LEAST_MEMBERS = 64, 100


def groups_for(images: int, classes: int) -> int:
    """How many groups suit a number of images: at least 100 images each, at most 64 groups.

    A multiple of the number of classes; 0 where groups would be no finer than the classes.
    """
    parts = max(1, classes)
    each = min(MOST, images // LEAST_MEMBERS) // parts
    return each * parts if each > 1 else 0


class Groups(nn.Module):
    """Assigns images to groups and draws groups; empty until :meth:`fit`.

    Args:
        count: groups; a multiple of ``classes``.
        classes: of labelled images; 0: no labels.
        shape: (channels, height, width) of the images.
    """

    mean: Tensor
    axes: Tensor
    centres: Tensor
    share: Tensor

    def __init__(self, count: int, classes: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = shape
        self.grid = (min(CELLS, height), min(CELLS, width))
        self.parts = max(1, classes)
        cells = channels * self.grid[0] * self.grid[1]
        self.register_buffer("mean", torch.zeros(cells))
        self.register_buffer("axes", torch.zeros(min(AXES, cells), cells))
        self.register_buffer("centres", torch.zeros(count, min(AXES, cells)))
        self.register_buffer("share", torch.zeros(count))

    @property
    def fitted(self) -> bool:
        """Whether the groups have been found."""
        return bool(self.share.sum() > 0)

    def coarse(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) averaged to at most 16 x 16 cells, as rows (N, cells)."""
        return F.adaptive_avg_pool2d(images, self.grid).flatten(1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The group (N,) int64 of each image: the nearest one, inside its class if it has one."""
        places = (self.coarse(images.float()) - self.mean.float()) @ self.axes.float().T
        far = torch.cdist(places, self.centres.float())
        if labels is not None and self.parts > 1:
            strange = (labels[:, None] >= 0) & (labels[:, None] != self.owners)
            far = far.masked_fill(strange, torch.inf)
        return far.argmin(1)

    @property
    def owners(self) -> Tensor:
        """The class of each group: (count,)."""
        each = len(self.share) // self.parts
        return torch.arange(len(self.share), device=self.share.device) // each

    def draw(self, uniform: Tensor, labels: Tensor | None = None) -> Tensor:
        """A group for each number of ``uniform`` (N,) in [0, 1), by the groups' shares.

        Args:
            uniform: what decides.
            labels: (N,) the class each group must lie in; -1 for any.
        """
        shares = self.share.double().expand(len(uniform), -1)
        if labels is not None:
            strange = (labels[:, None] >= 0) & (labels[:, None] != self.owners)
            shares = shares.masked_fill(strange, 0)
        edges = shares.cumsum(1)
        reached = edges <= uniform.double()[:, None] * edges[:, -1:]
        return reached.sum(1).clamp(max=len(self.share) - 1)

    def fit(self, images: Tensor, labels: Tensor | None = None) -> None:
        """Find the groups by k-means on principal components of the coarse images.

        Args:
            images: (N, C, H, W) in [-1, 1], the training images or a fair part of them.
            labels: (N,) their classes, or None.
        """
        from sklearn.decomposition import PCA
        from threadpoolctl import threadpool_limits

        rows = self.coarse(images).double().cpu().numpy()
        with threadpool_limits(1):  # sums in one order, so that every process finds the same
            count = min(len(self.axes), len(rows))
            found = PCA(count, svd_solver="randomized", random_state=0).fit(rows)
            self.mean.copy_(torch.from_numpy(found.mean_))
            self.axes[:count].copy_(torch.from_numpy(found.components_))
            places = (self.coarse(images) - self.mean) @ self.axes.T
            known = torch.zeros(len(rows), dtype=torch.int64) if labels is None else labels
            for part in range(self.parts):
                self._fit_part(part, places[known.cpu() == part])
        self.share.div_(self.share.sum())

    def _fit_part(self, part: int, places: Tensor) -> None:
        """k-means inside one class; groups that stay empty have no share."""
        from sklearn.cluster import KMeans

        each = len(self.share) // self.parts
        count = min(each, len(places))
        if count == 0:
            return
        found = KMeans(count, n_init=1, random_state=0).fit(places.double().cpu().numpy())
        at = slice(part * each, part * each + count)
        self.centres[at].copy_(torch.from_numpy(found.cluster_centers_))
        self.share[at].copy_(
            torch.bincount(torch.from_numpy(found.labels_).long(), minlength=count)
        )


class Told(nn.Module):
    """One number an image: its group where there are groups, else its class, else nothing.

    Args:
        classes: how many classes; 0: none.
        groups: how many groups; 0: none.
        shape: (channels, height, width) of the images.
    """

    def __init__(self, classes: int, groups: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.classes = classes
        self.groups = Groups(groups, classes, shape) if groups else None

    def of(self, images: Tensor, labels: Tensor | None) -> Tensor | None:
        """What the network is told of images (N, C, H, W) of these classes: (N,) or None."""
        if self.groups is not None:
            told: Tensor = self.groups(images, labels)
            return told
        return labels if self.classes else None

    def asked(
        self, seeds: Sequence[int], labels: Sequence[int] | None, image: Tensor | None = None
    ) -> Tensor | None:
        """What the network is told of images to be made.

        Args:
            seeds: one an image; draws the group.
            labels: the class asked of each, -1 for any; None without classes.
            image: (1 or n, C, H, W) they start from; its group is theirs.
        """
        known = None if labels is None else torch.tensor(labels)
        if self.groups is None:
            return known
        if image is not None:
            wanted = image.to(self.groups.mean.device).expand(len(seeds), *image.shape[1:])
            found: Tensor = self.groups(wanted, None if known is None else known.to(wanted.device))
            return found
        device = self.groups.share.device
        uniform = ImageNoise(seeds, device, "group").rand()
        return self.groups.draw(uniform, None if known is None else known.to(device))
