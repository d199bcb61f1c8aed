"""Make the pictures in docs/images from the running demo: `make screenshots`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from chromium import open_chromium  # noqa: E402
from hubs import Demo  # noqa: E402
from test_demo import in_lab, log_in, start  # noqa: E402


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, open_chromium() as browser:
        demo = Demo(Path(data))
        demo.start()
        try:
            sam = log_in(browser.new_page(viewport={"width": 1000, "height": 640}), demo, "sam")
            sam.goto(f"{demo.url}/hub/spawn")
            start(sam)
            in_lab(sam)
            sam.goto(f"{demo.url}/hub/spawn/sam/second")
            start(sam)
            sam.locator(".spawn-error-msg").wait_for()
            sam.screenshot(path=folder / "refused.png")
            sam.goto(f"{demo.url}/services/quotas/")
            sam.screenshot(path=folder / "usage.png", full_page=True)
            dark = {"viewport": {"width": 1000, "height": 640}, "color_scheme": "dark"}
            admin = log_in(browser.new_page(**dark), demo, "admin")
            admin.goto(f"{demo.url}/services/quotas/groups")
            admin.screenshot(path=folder / "limits-dark.png", full_page=True)
            phone = log_in(browser.new_page(viewport={"width": 360, "height": 740}), demo, "admin")
            for name in ("quotas/", "quotas/groups", "groups/", "launch/"):
                phone.goto(f"{demo.url}/services/{name}")
                phone.screenshot(path=folder / f"phone-{name.strip('/').replace('/', '-')}.png")
            page = log_in(browser.new_page(viewport={"width": 1000, "height": 700}), demo, "admin")
            page.goto(f"{demo.url}/services/quotas/groups")
            page.screenshot(path=folder / "limits.png")
            page.goto(f"{demo.url}/services/groups/")
            page.screenshot(path=folder / "groups.png")
            page.goto(f"{demo.url}/services/launch/?file=first-map.ipynb&profile=small")
            page.screenshot(path=folder / "launch.png", full_page=True)
            page.goto(demo.book)
            page.screenshot(path=folder / "book.png")
        finally:
            demo.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
