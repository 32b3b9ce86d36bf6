"""What a user can do, one function each; the command line and the server call these and no more."""

from mezzotint.api.averages import Averaged, average
from mezzotint.api.comparing import Compared, compare
from mezzotint.api.detecting import detect, detection_table
from mezzotint.api.exporting import Exported, export
from mezzotint.api.measures import check, checkup_table, evaluate, evaluation_table, inspect, pack
from mezzotint.api.planning import plan, plan_table
from mezzotint.api.runs import Run, distill, load, require_distils, train
from mezzotint.api.samples import film, interpolate, reconstruct, sample
from mezzotint.data.store import load_images
from mezzotint.describing import describe, environment
from mezzotint.runs.hub import fetch

__all__ = [
    "Averaged",
    "Compared",
    "Exported",
    "Run",
    "average",
    "check",
    "checkup_table",
    "compare",
    "describe",
    "detect",
    "detection_table",
    "distill",
    "environment",
    "evaluate",
    "evaluation_table",
    "export",
    "fetch",
    "film",
    "inspect",
    "interpolate",
    "load",
    "load_images",
    "pack",
    "plan",
    "plan_table",
    "reconstruct",
    "require_distils",
    "sample",
    "train",
]
