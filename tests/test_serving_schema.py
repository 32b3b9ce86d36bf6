"""What OpenAPI promises, tried with made-up requests: no failure of ours, no broken promise."""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from serving_kit import make_models, serving

CASES = int(os.environ.get("SCHEMA_CASES", "200"))
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def promised(tmp_path_factory):
    with serving(make_models(tmp_path_factory.mktemp("models"))) as server:
        yield schemathesis.openapi.from_url(f"{server.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("promised")


@schema.parametrize()
@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_operation_keeps_its_promise(case):
    case.call_and_validate(checks=CHECKS)
