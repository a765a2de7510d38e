"""A headless Chromium, if there is one, that reaches nothing but this machine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    *(f"--disable-{one}" for one in ("gpu", "quic", "background-networking", "component-update", "sync", "extensions")),
    "--disable-dev-shm-usage",
)
LAPTOP = (1440, 900)
PATIENCE_S = 60.0


def why_none() -> str:
    """Why there is no browser; empty if there is one."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} is not installed (on Debian: apt-get install chromium chromium-driver)"
    try:
        import selenium.webdriver  # noqa: F401
    except ImportError:
        return "selenium is not installed; it comes with the extra test"
    return ""


@contextmanager
def started(folder: Path) -> Iterator[Page]:
    """A browser with a profile in ``folder``. Skips the test if there is none."""
    if reason := why_none():
        pytest.skip(reason)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in (*ARGUMENTS, f"--window-size={LAPTOP[0]},{LAPTOP[1]}", f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        yield Page(driver)
    finally:
        driver.quit()


class Page:
    """What the browser shows."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, address: str | Path) -> Page:
        """Go to a page and wait until all of it is drawn."""
        self.driver.get(address.resolve().as_uri() if isinstance(address, Path) else address)
        self.wait("document.body && document.body.dataset.ready === 'yes'")
        return self

    def run(self, script: str, *values: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *values)

    def wait(self, condition: str, seconds: float = PATIENCE_S) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"return Boolean({condition})"):
            assert time.monotonic() < end, f"{condition} does not become true; {self.errors()}"
            time.sleep(0.02)

    def errors(self) -> list[str]:
        """What went wrong on the page since the last time, in the words of its console."""
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]

    def press(self, selector: str, *keys: str) -> None:
        """Send keys to an element."""
        from selenium.webdriver.common.by import By

        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(*keys)

    def click(self, selector: str) -> None:
        """Click on an element."""
        from selenium.webdriver.common.by import By

        element = self.driver.find_element(By.CSS_SELECTOR, selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def text(self, selector: str = "body") -> str:
        """What an element says."""
        return str(self.run("return document.querySelector(arguments[0]).innerText", selector))

    def dark(self, dark: bool) -> None:
        """Have the system prefer dark or light."""
        wish = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wish})
