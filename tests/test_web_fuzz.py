"""Requests made up from the OpenAPI document: no crash, and every answer as it is described."""

from __future__ import annotations

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from unbraid.web.app import create_app
from unbraid.web.settings import Settings
from web_server import serving

schema = schemathesis.openapi.from_dict(create_app(Settings(Path("unused"))).openapi())


@pytest.fixture(scope="module")
def url(tmp_path_factory, model):
    flags = ("--max-queue", 1000, "--max-upload", 1)  # many example songs
    with serving(tmp_path_factory.mktemp("fuzzed"), model, *flags) as url:
        yield url


@schema.parametrize()
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
def test_made_up_requests_are_answered_as_described(case, url):
    # made-up bytes fit the description of an upload, but are no audio
    case.call_and_validate(base_url=url, excluded_checks=[positive_data_acceptance])
