"""The pictures of the README and of docs/report.md, from a run: ``make pictures`` makes the run as well.

    python docs/pictures/make.py RUN

A report is opened in a headless browser, and the window and the tree are taken from it, in few colours, so that the
files are small. Needs the extra ``test``, and Debian's ``chromium`` and ``chromium-driver``.
"""

from __future__ import annotations

import base64
import io
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from tests.helpers.browser import Page, started  # noqa: E402

WIDTH, HEIGHT = 1280, 800
COLOURS = 160


def main() -> None:
    """Make both pictures."""
    (run,) = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        page = Path(name) / "page.html"
        subprocess.run([sys.executable, "-m", "colt.cli", "report", run, "-o", str(page)], check=True)
        with started(Path(name)) as browser:
            size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.driver.execute_cdp_cmd(
                "Emulation.setScrollbarsHidden", {"hidden": True}
            )  # else elements are cut off
            browser.open(page)
            keep(browser, "body", HERE / "report.png", HEIGHT)
            browser.run("trees['r0-tree-chart'].go(trees['r0-tree-chart'].data.best.at(-1))")
            keep(browser, "#r0-tree", HERE / "tree.png")


def keep(browser: Page, selector: str, path: Path, height: int | None = None) -> None:
    """Write an element's picture, or its upper part."""
    script = "const b = document.querySelector(arguments[0]).getBoundingClientRect();"
    box = browser.run(f"{script} return [b.x + scrollX, b.y + scrollY, b.width, b.height]", selector)
    clip = {"x": box[0], "y": box[1], "width": box[2], "height": height or box[3], "scale": 1}
    taken = browser.driver.execute_cdp_cmd(
        "Page.captureScreenshot", {"format": "png", "clip": clip, "captureBeyondViewport": True}
    )
    picture = Image.open(io.BytesIO(base64.b64decode(taken["data"]))).convert("RGB")
    picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} KB")


if __name__ == "__main__":
    main()
