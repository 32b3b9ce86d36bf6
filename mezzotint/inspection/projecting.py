"""Latents laid out in a plane: the table below has every way."""

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mezzotint.errors import MissingExtraError, UsageError, nearest

FEWEST = 5  # images that a map is drawn of
EXACT = 2048  # numbers of a latent up to which every principal component is exact
NARROW = 50  # numbers a latent that neighbours are looked for in, as van der Maaten & Hinton do
PERPLEXITY, NEIGHBOURS = 30.0, 15

Points = NDArray[np.float64]


class Components(NamedTuple):
    """Points (n, k) along the main directions, and each direction's share of the variance (k,)."""

    points: Points
    shares: Points


class Map(NamedTuple):
    """Points (n, 2) in a plane.

    Attributes:
        name: key of the way.
        title: its name in the field.
        points: (n, 2).
        note: what it keeps, in words.
    """

    name: str
    title: str
    points: Points
    note: str


def principal_components(rows: Points, count: int) -> Components:
    """The ``count`` main directions of rows (n, d), signs fixed; fewer where there are no more.

    Exact up to ``EXACT`` numbers a row, beyond by random projections (0909.4061), the same ones
    at every call.
    """
    from sklearn.decomposition import PCA

    count = min(count, *rows.shape)
    solver = "covariance_eigh" if rows.shape[1] <= EXACT else "randomized"
    # rows that are all the same vary in no direction: shares of 0, not 0 / 0
    if not np.ptp(rows, axis=0).any():
        return Components(np.zeros((len(rows), count)), np.zeros(count))
    found = PCA(count, svd_solver=solver, random_state=0).fit(rows)
    return Components(found.transform(rows), found.explained_variance_ratio_)


def by_pca(rows: Points) -> Map:
    """The two directions in which the latents vary most."""
    found = principal_components(rows, 2)
    flat = np.zeros((len(rows), 2))
    flat[:, : found.points.shape[1]] = found.points
    share = f"{100 * found.shares.sum():.0f}% of the variance"
    return Map("pca", "PCA", flat, f"the two directions that vary most: {share}")


def by_tsne(rows: Points) -> Map:
    """Neighbourhoods by t-SNE (van der Maaten & Hinton 2008), begun from PCA, one fixed seed."""
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    narrow = principal_components(rows, NARROW).points
    start = "pca" if narrow.shape[1] > 1 and np.ptp(narrow) > 0 else "random"
    made = TSNE(2, perplexity=perplexity, init=start, random_state=0).fit_transform(narrow)
    note = f"who is near whom, perplexity {perplexity:.0f}; distances between groups mean nothing"
    return Map("tsne", "t-SNE", made.astype(np.float64), note)


def by_umap(rows: Points) -> Map:
    """Neighbourhoods by UMAP (1802.03426), one fixed seed.

    Raises:
        MissingExtraError: umap-learn is not installed.
    """
    if not has_umap():
        raise MissingExtraError("umap-learn", "umap")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # of its neural variant, which wants more
        import umap

    near = min(NEIGHBOURS, len(rows) - 1)
    narrow = principal_components(rows, NARROW).points
    # of one seed it works on one thread only, and warns unless it is told so
    maker: Any = umap.UMAP(n_neighbors=near, n_components=2, random_state=0, n_jobs=1)
    made = np.asarray(maker.fit_transform(narrow), dtype=np.float64)
    note = f"who is near whom, {near} neighbours; distances between groups mean little"
    return Map("umap", "UMAP", made, note)


WAYS: dict[str, Callable[[Points], Map]] = {"pca": by_pca, "tsne": by_tsne, "umap": by_umap}


def has_umap() -> bool:
    """Whether umap-learn is installed."""
    return importlib.util.find_spec("umap") is not None


def require_maps(names: Sequence[str] | None) -> None:
    """Check maps a user asks for, before anything is computed.

    Raises:
        UsageError: there is no such map.
        MissingExtraError: UMAP is asked for and not installed.
    """
    for name in names or ():
        if name not in WAYS:
            raise UsageError(f"there is no map '{name}'", "maps", nearest(name, WAYS))
    if names and "umap" in names and not has_umap():
        raise MissingExtraError("umap-learn", "umap")


def project(
    rows: Points, names: Sequence[str] | None, tell: Callable[[str], None]
) -> tuple[tuple[Map, ...], dict[str, str]]:
    """The maps asked for, or all there are.

    Args:
        rows: (n, d) latents.
        names: of ``WAYS``; None: every one that is installed.
        tell: hears the name of each map before it is made.

    Returns:
        The maps in the table's order, and why others are missing.

    Raises:
        UsageError, MissingExtraError: see :func:`require_maps`.
    """
    require_maps(names)
    made, left_out = [], dict[str, str]()
    for name, way in WAYS.items():
        if names is not None and name not in names:
            continue
        tell(name)
        try:
            made.append(way(rows))
        except MissingExtraError as error:
            left_out[name] = f"{error.what}: {error.fix}"
    return tuple(made), left_out
