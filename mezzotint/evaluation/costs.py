"""What a model costs: parameters and memory."""

import sys

import torch

from mezzotint.evaluation.subject import Subject
from mezzotint.evaluation.values import Evaluation, Value

MIB = 1 << 20


def cost_values(subject: Subject) -> Evaluation:
    """Parameters, and the most memory that was in use up to now."""
    count = sum(parameter.numel() for parameter in subject.family.parameters())
    memory, where = peak_memory(subject.family.device)
    values = {
        "parameters": Value(count, None, None, len(subject.pixels), ""),
        "peak_memory": Value(memory / MIB, None, None, len(subject.pixels), "MiB", where),
    }
    return Evaluation(values)


def peak_memory(device: torch.device) -> tuple[int, str]:
    """Bytes at the most since the process began, and of what."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device)), "tensors on the GPU"
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset), "whole process"
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "whole process"
