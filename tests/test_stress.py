"""Processes that are killed while they reserve: nothing oversubscribed, nothing left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from postgres import fresh_database

ROOT = Path(__file__).parent.parent
LENGTH = ("--seconds", "5", "--attempts", "1000")


def stress(*arguments: str) -> dict:
    """A run of a few seconds, in a process of its own as it forks."""
    command = [sys.executable, "-m", "tests.stress", "--json", *LENGTH, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode == 0) == report["good"]
    return report


def assert_sound(report: dict) -> None:
    assert report["errors"] == []
    assert report["oversubscribed"] == report["unequal"] == report["leaked"] == 0, report
    assert report["attempts"] >= 1000 and report["kills"] >= 5, report
    assert report["admitted"] > 100 and report["rivals"] > 0, report


def test_killed_processes_on_sqlite():
    assert_sound(stress())


def test_killed_processes_on_postgres(postgres_url):
    assert_sound(stress("--url", fresh_database(postgres_url)))
