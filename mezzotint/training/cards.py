"""The README.md of a trained model: what it is, what it saw, how it was made."""

import re
from collections.abc import Mapping
from typing import Any

from mezzotint.runs.best import Best

TASKS = {
    "autoencoder": "image-feature-extraction",
    "vae": "unconditional-image-generation",
    "text-to-image": "text-to-image",
    "tuned": "text-to-image",
}
LISTED = 64

CARD = """---
library_name: mezzotint
pipeline_tag: {task}
tags:
- {family}
---

# {family} trained on {data}

Made with mezzotint {version}: {images:,} images seen in {seconds:.0f} s, seed {seed}.

```python
import mezzotint as mz

model = mz.load("this-folder")
```

## Data

{facts}

## Results

{results}

The weights are averages over training (EMA). Validation numbers are means over at most 512 held-out
images.

## Options

```json
{options}
```

## Limits

The model has learnt from the images named above and nothing else. Look at samples and
reconstructions before you rely on it; samples may resemble training images closely.
"""


def with_length(card: str, length: float) -> str:
    """A card that says which length of average was chosen when the run was over."""
    told = f"EMA of length {length:g}, chosen afterwards; the numbers above are of the first one"
    return re.sub(r"\(EMA[^)]*\)", f"({told})", card)


def with_best(card: str, chosen: Best) -> str:
    """A card that says that the weights are not those of the end."""
    told = (
        f"EMA as it was when training had come to {chosen.images:,} images, where samples covered"
    )
    told += " more of the real ones than at the end; the numbers above are of the end"
    return re.sub(r"\(EMA[^)]*\)", f"({told})", card)


def _shortened(value: Any) -> Any:
    """A value for people: of a long list, how long it is."""
    return f"{len(value):,} values" if isinstance(value, list) and len(value) > LISTED else value


def model_card(header: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    """Markdown with a YAML head, as model hubs expect it.

    Args:
        header: what ``run.json`` holds.
        last: the last line of the history.
    """
    import json

    model = {name: _shortened(value) for name, value in header["model"].items()}
    options = {"model": model, "recipe": header["recipe"]}
    numbers = [f"| {k} | {v:.6g} |" for k, v in last.items() if k.startswith("validation_")]
    table = ["| quantity | value |", "|---|---|", *numbers] if numbers else ["none measured"]
    return CARD.format(
        task=TASKS.get(header["family"], "unconditional-image-generation"),
        family=header["family"],
        data=header["data"]["spec"],
        version=header["versions"]["mezzotint"],
        images=last.get("images", 0),
        seconds=last.get("seconds", 0.0),
        seed=header["recipe"]["seed"],
        facts="\n".join(f"- {fact}" for fact in header["data"]["facts"]),
        results="\n".join(table),
        options=json.dumps(options, indent=2),
    )
