"""What OpenAPI promises, tried with made-up requests: no failure of ours, no broken promise."""

import os
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from serving_kit import make_models, serving

from mezzotint.serving.app import create_app
from mezzotint.serving.settings import Settings

CASES = int(os.environ.get("SCHEMA_CASES", "200"))
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]
SPEC = create_app(Settings(Path(__file__).parent)).openapi()
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@schemathesis.serializer("application/zip")
def as_bytes(_, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with serving(make_models(tmp_path_factory.mktemp("models"))) as server:
        yield server.url


@pytest.mark.parametrize(
    ("path", "method"),
    [(path, method) for path, methods in SPEC["paths"].items() for method in methods],
)
def test_an_operation_keeps_its_promise(url, path, method):
    operation = schemathesis.openapi.from_dict(SPEC)[path][method]

    @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def tried(case):
        case.call_and_validate(base_url=url, checks=CHECKS)

    tried()
