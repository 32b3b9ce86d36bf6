"""Pipelines of the Hugging Face hub by name: from its cache, or fetched where that is allowed.

Nothing is fetched unasked, and only what a pipeline is read from: JSON, words and safetensors.
"""

import re
from pathlib import Path
from typing import Any

from mezzotint.errors import MissingInputError, UsageError

NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
WANTED = ("*.json", "*/*.json", "*/merges.txt", "*/*.safetensors")
UNWANTED = ("safety_checker/*", "*.fp32.safetensors", "*/openvino*", "*.non_ema.*")
COMMIT = re.compile(r"[0-9a-f]{40}")
FETCH = "check the path; of the hub, mezzotint sample {name} --allow-network fetches it"


def is_hub_name(text: str) -> bool:
    """Whether a text is ``owner/name`` or ``owner/name@revision``, and no place of this machine."""
    place = Path(text)
    known = place.exists() or place.parent.exists()
    return NAME.fullmatch(text) is not None and not known


def located(path: str | Path) -> Path:
    """The folder a path or a hub name stands for; names are looked up in the cache alone.

    Raises:
        MissingInputError: a name that is not in the cache.
    """
    text = str(path)
    return cached(text) if is_hub_name(text) else Path(path)


def cached(name: str) -> Path:
    """The folder of a pipeline in the hub's cache.

    Raises:
        MissingInputError: it is not there.
    """
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return _snapshot(name, local_files_only=True)
    except LocalEntryNotFoundError as error:
        what = f"there is no '{name}' here, and none in the cache of the hub"
        raise MissingInputError(what, str(HF_HUB_CACHE), FETCH.format(name=name)) from error


def fetch(name: str) -> Path:
    """The folder of a pipeline of the hub, downloaded to its cache where it is not there yet.

    Raises:
        UsageError: not a name of the hub.
        MissingInputError: the hub has no such pipeline, or cannot be reached.
    """
    if not is_hub_name(name):
        raise UsageError(f"'{name}' is no owner/name of the hub", "--allow-network", "leave it out")
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return _snapshot(name, allow_patterns=list(WANTED), ignore_patterns=list(UNWANTED))
    except (HfHubHTTPError, OSError, ValueError) as error:
        why = str(error).strip().partition("\n")[0][:200]
        fix = "check the name and the connection; what was fetched is kept"
        raise MissingInputError(f"'{name}' cannot be fetched: {why}", "the hub", fix) from error


def origin(folder: Path) -> str:
    """``owner/name@commit`` of a folder in the hub's cache; empty for any other."""
    repository = folder.parent.parent.name
    snapshot = folder.parent.name == "snapshots" and repository.startswith("models--")
    if not snapshot or not COMMIT.fullmatch(folder.name):
        return ""
    return f"{repository.removeprefix('models--').replace('--', '/', 1)}@{folder.name}"


def _snapshot(name: str, **options: Any) -> Path:
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    return Path(snapshot_download(repository, revision=revision or None, **options))
