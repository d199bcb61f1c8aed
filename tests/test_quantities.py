"""Amounts as hub admins write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_quotas.quantities import (
    RESOURCES,
    QuantityError,
    format_cpu,
    format_memory,
    parse_count,
    parse_cpu,
    parse_memory,
)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("2", 2000), ("0.5", 500), ("500m", 500), (".25", 250), ("2 cores", 2000), ("1 core", 1000)],
)
def test_cpu(text, amount):
    assert parse_cpu(text) == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("8G", 8 * 2**30),
        ("8Gi", 8 * 2**30),
        ("8 GiB", 8 * 2**30),
        ("8GB", 8 * 2**30),
        ("1.5G", 3 * 2**29),
        ("512M", 2**29),
        ("1T", 2**40),
        ("1024", 1024),
        ("0", 0),
    ],
)
def test_memory(text, amount):
    assert parse_memory(text) == amount


@pytest.mark.parametrize(
    ("parse", "text", "said"),
    [
        (parse_cpu, "two", "'two' is not an amount of CPU"),
        (parse_cpu, "-1", "not an amount of CPU"),
        (parse_cpu, "0.5m", "too fine"),
        (parse_cpu, "0.0001", "too fine"),
        (parse_memory, "8 potatoes", "'8 potatoes' is not an amount of bytes"),
        (parse_memory, "-8G", "not an amount of bytes"),
        (parse_memory, "0.3", "too fine"),
        (parse_memory, "9" * 30, "too large"),
        (parse_count, "1.5", "'1.5' is not a whole number"),
        (parse_count, "", "not a whole number"),
    ],
)
def test_what_can_not_be_read_is_explained(parse, text, said):
    with pytest.raises(QuantityError) as error:
        parse(text)
    assert said in str(error.value)


@given(st.integers(0, 2**53))
def test_what_is_formatted_reads_back_the_same(amount):
    assert parse_cpu(format_cpu(amount)) == amount
    assert parse_memory(format_memory(amount)) == amount
    for resource in RESOURCES.values():
        small = amount if resource.kind != "time" else amount * 1000 * 3_600_000
        assert resource.parse(resource.format(small)) == small
