"""Chromium without a window, as the playground's tests and pictures drive it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRIVER = "chromedriver"
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    # The browser's own requests to its maker, for updates and the like.
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"),
    *("--disable-domain-reliability", "--disable-features=OptimizationHints,MediaRouter", "--no-pings"),
    "--autoplay-policy=no-user-gesture-required",
)


def microphone_flags(file: Path) -> tuple[str, ...]:
    """Return flags for a browser that plays a wav into its microphone, from its beginning, again and again."""
    return (
        *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
        f"--use-file-for-fake-audio-capture={file}",
    )


def browser_path() -> str | None:
    """Return the installed browser; None without one, or without its driver."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found if shutil.which(DRIVER) else None


@contextmanager
def run_browser(*, flags: Sequence[str] = (), downloads: Path | None = None) -> Iterator[Chrome]:
    """Run the browser with more flags, and end it. downloads: the folder for them."""
    options = ChromeOptions()
    options.binary_location = browser_path() or ""
    for flag in (*FLAGS, *flags):
        options.add_argument(flag)
    if downloads is not None:
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = Chrome(options=options, service=ChromeService(shutil.which(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


def show(driver: Chrome, *, width: int, height: int = 900, theme: str = "light") -> None:
    """Set the size of the window in CSS pixels, and the system's theme. Nothing moves: all is as it stays."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    wishes = {"prefers-color-scheme": theme, "prefers-reduced-motion": "reduce"}
    features = [{"name": name, "value": value} for name, value in wishes.items()]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
