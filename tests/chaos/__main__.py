"""Kill a hub, its services and its servers, and compare the ledger with what really ran.

    python tests/chaos --kills 200 --seed 1 --json [--postgres]

With database outages and clock steps in between. Ends with 1 if the ledger is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from chaos.campaign import Campaign, Report  # noqa: E402
from postgres import fresh_database, open_postgres  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many there shall be")
    parser.add_argument("--seed", type=int, default=1, help="plans the same blows again")
    parser.add_argument("--postgres", action="store_true", help="the ledger is in PostgreSQL")
    parser.add_argument("--keep", type=Path, help="a new folder, for logs and the record")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        folder = folder.resolve()
        url = None
        if options.postgres:
            url = fresh_database(stack.enter_context(open_postgres(folder)))
        campaign = Campaign(folder, options.seed, url)
        stack.callback(campaign.hub.stop)
        report = campaign.run(options.kills)
    _say(report)
    if options.json:
        print(json.dumps({**asdict(report), "good": report.good}))
    return 0 if report.good else 1


def _say(report: Report) -> None:
    print(
        f"{report.kills} kills ({report.hub} of hubs, {report.service} of services, "
        f"{report.server} of servers), {report.database_outages} outages, {report.clock_steps} "
        f"clock steps; {report.sessions} sessions, {report.ran} servers: {report.leaked} leaked, "
        f"{report.lost} lost, {report.strays} strays, "
        f"{report.wrong_seconds} s wrong, {report.curves} curves wrong"
    )
    for wrong in report.wrong[:20]:
        print(f"wrong: {wrong}")
    for slow in report.slow[:20]:
        print(f"slow: {slow}")


if __name__ == "__main__":
    sys.exit(main())
