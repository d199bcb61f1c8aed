"""What a pod asks for, by Kubernetes' own rules."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_quotas.pods import asks_for, label_value, parse_quantity
from hub_quotas.quantities import QuantityError

GI = 2**30


def container(limits=None, requests=None, **more):
    return {"resources": {"limits": limits or {}, "requests": requests or {}}, **more}


def pod(*containers, **spec):
    return {"spec": {"containers": list(containers), **spec}}


@pytest.mark.parametrize(
    ("name", "text", "amount"),
    [
        ("cpu", "500m", 500),
        ("cpu", 0.5, 500),
        ("cpu", "2", 2000),
        ("cpu", "1n", 1),
        ("cpu", "0.1", 100),
        ("memory", "8Gi", 8 * GI),
        ("memory", "8G", 8 * 10**9),
        ("memory", "128974848000m", 128974848),
        ("memory", "1e3", 1000),
        ("memory", "1E", 10**18),
        ("memory", 1073741824, GI),
        ("nvidia.com/gpu", "2", 2),
    ],
)
def test_kubernetes_quantities(name, text, amount):
    assert parse_quantity(name, text) == amount


@pytest.mark.parametrize("text", ["8GB", "", "1 Gi", "gpu", "1ee3"])
def test_what_is_no_quantity_is_said_so(text):
    with pytest.raises(QuantityError, match="is not a Kubernetes quantity of memory"):
        parse_quantity("memory", text)


def test_containers_and_sidecars_add_up():
    limits, guarantees = asks_for(
        pod(
            container({"cpu": "2", "memory": "4Gi"}, {"cpu": "500m", "memory": "1Gi"}),
            container({"memory": "1Gi"}, {"cpu": "100m"}),
            initContainers=[
                container({"memory": "512Mi"}, restartPolicy="Always"),
                container({"memory": "2Gi", "cpu": "1"}),
            ],
        )
    )
    assert limits == {"cpu": 2100, "memory": 5 * GI + GI // 2}
    # The sidecar's limit is its request; the large init container beside it asks for 2.5 GiB.
    assert guarantees == {"cpu": 1000, "memory": 2 * GI + GI // 2}


def test_limits_alone_are_requests_too():
    assert asks_for(pod(container({"memory": "1Gi"}))) == ({"memory": GI}, {"memory": GI})


def test_a_notebook_without_a_limit_is_not_limited_by_its_sidecar():
    limits, guarantees = asks_for(
        pod(container(requests={"memory": "1Gi"}), container({"memory": "64Mi"}))
    )
    assert limits == {}
    assert guarantees == {"memory": GI + 64 * 2**20}


def test_gpus_count_by_their_name_and_as_gpus():
    limits, _ = asks_for(pod(container({"nvidia.com/gpu": "1", "amd.com/gpu": 2, "memory": "1Gi"})))
    assert limits == {"nvidia.com/gpu": 1, "amd.com/gpu": 2, "gpu": 3, "memory": GI}


def test_what_limits_cannot_name_is_left_out():
    limits, _ = asks_for(pod(container({"ephemeral-storage": "1Gi", "hugepages-2Mi": "4Mi"})))
    assert limits == {}


@given(st.text(min_size=1))
def test_label_values_are_valid(text):
    value = label_value(text)
    assert len(value) <= 63
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", value)


def test_label_values_stay_readable_and_apart():
    assert label_value("geo-101") == "geo-101"
    assert label_value("earth/geo 101") != label_value("earth-geo/101")
    assert label_value("earth/geo 101").startswith("earth-geo-101---")
