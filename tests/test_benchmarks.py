"""The benchmarks run and print what they promise; how fast is for people to look at."""

from __future__ import annotations

import json
import subprocess
import sys

import filesystems
import pytest
from hubs import ROOT


def test_the_decision_benchmark_prints_its_figures(tmp_path):
    words = ["--points", "20000", "--no-prometheus", "--rounds", "1", "--json"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "decision.py", *words, "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["points"] == 20000
    for name in ("reserve_p50_ms", "bare_p50_ms", "bare_ratio"):
        assert figures[name] > 0
    assert {"growth", "prometheus_ratio"} <= figures.keys()


def test_the_what_if_benchmark_prints_its_figures():
    words = ["--starts", "2000", "--rounds", "1", "--json"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "whatif.py", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert 1500 < figures["starts"] < 2500
    for days in ("7d", "30d"):
        assert 0 < figures[f"refused_{days}"] < figures["starts"]
        assert figures[f"what_if_{days}_ms"] > 0 < figures[f"what_if_{days}_cpu_ms"]


def test_the_benchmark_of_groups_prints_its_figures(tmp_path):
    words = ["--memberships", "2000", "--logins", "20", "--json"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "groups.py", *words, "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["memberships"] == 2000
    for name in ("full_s", "delta_s", "delta_share", "hub_sync_s", "hub_sync_delta_s"):
        assert figures[name] > 0
    for name in ("login_added_ms", "longest_hold_ms", "hub_sync_longest_ms"):
        assert figures[name] > 0


@pytest.mark.slow
def test_the_benchmark_of_pages_prints_its_figures(tmp_path):
    words = ["--groups", "20", "--users", "100", "--rounds", "2", "--json"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "pages.py", *words, "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["groups"] == 20 and figures["points"] > 100
    for name in ("admin_list", "group_page", "user_page", "scrape"):
        assert figures[f"{name}_ms"] > 0 and figures[f"{name}_ratio"] > 0


@pytest.mark.slow
def test_the_scale_benchmark_prints_its_figures(tmp_path):
    words = ["--servers", "20", "--spawns", "3", "--seconds", "2", "--json"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "scale.py", *words, "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["servers"] == 20
    for name in ("start_0_p50_ms", "start_all_p50_ms", "lag_max_ms", "hub_cpu_percent"):
        assert figures[f"{name}_with"] > 0 and figures[f"{name}_without"] > 0
    # Of each there was something to measure: ours on the loop, the pages' process.
    for name in ("ours_max_ms", "pages_cpu_percent"):
        assert figures[name] > 0
    assert {"added_0_p50_ms", "added_all_p50_ms"} <= figures.keys()


@pytest.mark.slow
def test_a_click_on_a_launch_link():
    words = ["--json", "--seconds", "0.5"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "launch.py", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"resolve_rps", "bare_rps", "p99_ms"} <= set(found)
    assert min(found.values()) > 0


def test_the_benchmark_of_books_prints_its_figures():
    words = ["--pages", "20", "--rounds", "0", "--json"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "books.py", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["pages"] == 20
    assert figures["sphinx_share"] > 0 < figures["check_s"]
    assert "myst_share" not in figures, "with MyST: test_jupyter_books.py"


def test_the_benchmark_of_storage_prints_its_figures():
    for _btrfs in filesystems.mounted("btrfs"):
        pass  # it can be had here
    words = ["--homes", "200", "--steady", "3", "--json"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "storage.py", *words],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["homes"] == 200
    for name in ("first_s", "delta_s", "delta_share", "steady_cpu_share", "bare_s", "bare_ratio"):
        assert figures[name] > 0


@pytest.mark.slow
def test_the_benchmark_of_weight_prints_its_figures():
    words = ["--rounds", "1", "--settle", "1", "--json"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "weight.py", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    for name in ("hub_0", "hub_3", "pages_1", "pages_3", "bare_service", "storage_agent"):
        assert figures[f"{name}_mib"] > 5
    for name in ("import_share_links", "first_start_bare", "again_start_bare"):
        assert figures[f"{name}_s"] > 0
    assert {"first_start_added_s", "again_start_added_s", "each_service_mib"} <= figures.keys()
