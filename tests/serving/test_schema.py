"""The API does what its OpenAPI description says, whatever is sent to it."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serving.server import Server

CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
REFUSED = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429"]
"""How wrong data is refused: the 4xx of Schemathesis' default, and 413 for a body too large."""
CONFIG = {"checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}}


@pytest.mark.slow
@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
def test_every_operation_does_what_is_described(
    server: Server, mode: schemathesis.GenerationMode
) -> None:
    with server.client() as client:
        described = client.get("/openapi.json").json()
    del described["components"]["securitySchemes"]  # this server asks for no keys
    for path in described["paths"].values():
        for operation in path.values():
            operation.pop("security", None)
    config = schemathesis.Config.from_dict(CONFIG)
    schema = schemathesis.openapi.from_dict(described, config=config)
    results = list(schema.get_all_operations())
    operations = [result.ok() for result in results if isinstance(result, Ok)]
    assert len(operations) == 16

    for operation in operations:
        described_as = described["paths"][operation.path][operation.method]
        asks = {"parameters", "requestBody"}.intersection(described_as)
        if mode.is_negative and not asks:
            continue  # there is nothing to say wrongly

        @settings(max_examples=30, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy(generation_mode=mode))
        def conforms(case: Any) -> None:
            case.call_and_validate(base_url=server.url, checks=CHECKS)

        conforms()
