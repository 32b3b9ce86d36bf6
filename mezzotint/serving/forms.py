"""What requests may say and responses do say, as OpenAPI shows it; every number is bounded."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mezzotint.seeds import LARGEST
from mezzotint.serving.limits import Limits
from mezzotint.solvers import SOLVERS

LIMITS = Limits()
MOST_SEED = LARGEST - LIMITS.images
Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]
Text = Annotated[str, Field(max_length=LIMITS.prompt_letters)]
Name = Annotated[str, Field(max_length=300)]
Solver = Annotated[str, Field(json_schema_extra={"enum": list(SOLVERS)})]


class Form(BaseModel):
    """A JSON body: nothing unknown, nothing of another type, no number that is not finite."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ImageRequest(Form):
    """New images: OpenAI's fields, and ours under diffusers' names."""

    prompt: Text = Field(description="for models without text: empty, or the name of a class")
    model: Name | None = Field(None, description="one of /v1/models; by default the newest")
    n: Annotated[int, Field(ge=1, le=LIMITS.images)] | None = None
    size: Annotated[str, Field(pattern=r"^(auto|[0-9]{1,5}x[0-9]{1,5})$")] | None = None
    quality: Literal["auto", "standard", "low", "medium", "high", "hd"] | None = None
    background: Literal["auto", "opaque"] | None = None
    moderation: Literal["auto", "low"] | None = None
    style: Literal["vivid", "natural"] | None = None
    output_format: Literal["png"] | None = None
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    response_format: Literal["b64_json"] | None = None
    stream: bool | None = None
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = None
    partial_side: Annotated[int, Field(ge=16, le=4096)] | None = Field(
        None, description="longest side of partial images in pixels; by default the images' own"
    )
    user: Name | None = None
    safety_identifier: Name | None = None
    seed: Seed | None = Field(None, description="image i has the seed SEED + i; by default 0")
    num_inference_steps: Annotated[int, Field(ge=1, le=LIMITS.steps)] | None = None
    guidance_scale: Annotated[float, Field(ge=0, le=LIMITS.guidance)] | None = None
    negative_prompt: Text | None = None
    label: Name | Annotated[int, Field(ge=0, le=100_000)] | None = None
    solver: Solver | None = None


class Image(BaseModel):
    """One image and how it was made."""

    b64_json: str
    seed: int
    label: str | None = None


class ImageResponse(BaseModel):
    """As the OpenAI API answers."""

    created: int
    data: list[Image]
    output_format: Literal["png"] = "png"
    size: str
    quality: Literal["auto"] = "auto"
    background: Literal["opaque"] = "opaque"
    model: str


class Upload(Form):
    """Pictures as base64, and what to do with them."""

    image: Annotated[
        list[Annotated[str, Field(max_length=LIMITS.upload_bytes)]],
        Field(min_length=1, max_length=LIMITS.upload_files),
    ]
    model: Name | None = None
    noise: Annotated[float, Field(ge=0, le=2)] | None = None
    strength: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Seed | None = None
    false_alarms: Annotated[float, Field(gt=0, lt=1)] | None = None


class Rebuilt(BaseModel):
    """A picture at the model's size, what the model saw of it, and its version."""

    original: str
    seen: str
    b64_json: str
    error: float


class RebuiltResponse(BaseModel):
    """Of every picture."""

    model: str
    data: list[Rebuilt]


class VectorResponse(BaseModel):
    """A vector of every picture."""

    model: str
    data: list[list[float]]


class Found(BaseModel):
    """What is said of one picture; scores are higher where it is worse."""

    original: str
    b64_json: str
    score: float
    p_value: float
    bad: bool | None


class FoundResponse(BaseModel):
    """Of every picture, with the scores of good ones that the verdict rests on."""

    model: str
    score: str
    threshold: float | None
    held_out: list[float]
    data: list[Found]


class Model(BaseModel):
    """As the OpenAI API lists models, and what ours can do."""

    id: str
    created: int
    object: Literal["model"] = "model"
    owned_by: Literal["mezzotint"] = "mezzotint"
    family: str
    size: str
    channels: int
    classes: list[str]
    can: list[str]


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]


class Fault(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class FaultResponse(BaseModel):
    """As the OpenAI API answers errors."""

    error: Fault


class State(BaseModel):
    """Of the server."""

    status: Literal["ok", "ready", "starting", "stopping"]


Json = dict[str, Any]
