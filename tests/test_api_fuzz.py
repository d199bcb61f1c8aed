"""The API against its own document: no answer that is not in it, and nothing that breaks it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from hubs import HERE, Hub

from hub_quotas.policies import By
from hub_quotas.policy import parse_policy

POLICY = """
plans: {small: {limits: {member.servers: 2}}}
groups: {course: {plan: small, limits: {group.cpu-hours: 40 per 7d}}}
"""


CHECKS = ",".join(
    (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "ignored_auth",
    )
)


@pytest.fixture(scope="module")
def hub(start_hub) -> Hub:
    hub = start_hub("roles")
    store = hub.ledger()
    store.edit(lambda _: parse_policy(yaml.safe_load(POLICY)), By("tests", "tests"))
    store.reserve("0" * 32, "sam", "", ["course"], {"cpu": 1000})
    return hub


@pytest.mark.parametrize("examples", [2, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("service", ["quotas", "groups"])
def test_every_answer_is_documented(hub, service, examples, tmp_path):
    """As an admin's service; what each role may is in test_routes.py and test_group_routes.py."""
    api = f"{hub.base}services/{service}/api"
    done = subprocess.run(
        [
            *(Path(sys.executable).parent / "st", "--config-file", HERE / "schemathesis.toml"),
            *("run", f"{api}/openapi.json", "--url", api, "--checks", CHECKS),
            *("-H", f"Authorization: token {hub.settings['token']}b"),
            *("--max-examples", str(examples), "--continue-on-failure", "--no-color"),
            *("--request-timeout", "60"),
            # Of its own making of what can't be in a path, not of an answer.
            "--suppress-health-check=filter_too_much",
        ],
        cwd=tmp_path,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    tested = int(re.search(r"Tested: (\d+)", done.stdout)[1])
    document = httpx.get(f"{api}/openapi.json").json()
    assert tested == sum(len(methods) for methods in document["paths"].values()) > 20
    assert "Traceback" not in hub.log


@pytest.mark.parametrize("service", ["quotas", "groups"])
def test_the_schemas_are_what_openapi_says(hub, service):
    """The document itself, by the specification's own schema."""
    from openapi_spec_validator import OpenAPIV31SpecValidator

    document = httpx.get(f"{hub.base}services/{service}/api/openapi.json").json()
    assert not list(OpenAPIV31SpecValidator(document).iter_errors())
