"""The playground's page as a user works with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.playground.browser import show

DEADLINE_S = 180.0  # A busy machine is slower than speech, and words come late.
POLL_INTERVAL_S = 0.05


class Page:
    def __init__(self, driver: Chrome, url: str) -> None:
        self.driver = driver
        self.url = url

    def open(self, path: str = "/") -> None:
        """Open the page, and wait until it has asked the server what it serves."""
        self.driver.get(self.url + path)
        self.wait(lambda: self.text("server") != "")

    def by_id(self, name: str) -> WebElement:
        return self.driver.find_element(By.ID, name)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, name: str) -> str:
        return self.by_id(name).text

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    @property
    def phase(self) -> str:
        """What the page is at: empty, ready, busy, live, done, cancelled or failed."""
        return str(self.run("return document.body.dataset.phase"))

    @property
    def segments(self) -> list[str]:
        return [item.text for item in self.all("#segments .text")]

    @property
    def position_s(self) -> float:
        return float(self.run("return document.getElementById('media').currentTime"))

    def choose(self, path: Path) -> None:
        self.by_id("file").send_keys(str(path))
        self.wait_for_phase("ready")

    def transcribe(self, path: Path) -> None:
        """Choose a file and wait for its whole text."""
        self.choose(path)
        self.by_id("start").click()
        self.wait_for_phase("done")

    def speak(self) -> None:
        """Have the microphone transcribed live."""
        self.by_id("record").click()
        self.wait(lambda: self.text("live-state") == "Live")

    def show(self, *, width: int, theme: str) -> None:
        """Set the size and the theme, and wait until the page has both."""
        show(self.driver, width=width, theme=theme)
        self.wait(lambda: self.run("return document.documentElement.dataset.theme") == theme)

    def set(self, name: str, value: object) -> None:
        """Give an option a value, as its control does."""
        self.run(
            "const field = document.getElementById('options').elements[arguments[0]];"
            "if (field.type === 'checkbox') field.checked = arguments[1]; else field.value = arguments[1];"
            "document.getElementById('options').dispatchEvent(new Event('input', { bubbles: true }));",
            *(name, value),
        )

    def code(self, tab: str) -> str:
        """Return the request as code, from the tab of this name."""
        next(item for item in self.all("#tabs button") if item.text == tab).click()
        return self.text("code-text")

    def wait_for_phase(self, phase: str) -> None:
        self.wait(lambda: self.phase == phase)

    def wait(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > deadline:
                shown, log = self.driver.find_element(By.TAG_NAME, "body").text, self.driver.get_log("browser")
                raise AssertionError(f"the page did not come to it; it shows {shown!r}; its log: {log}")
            time.sleep(POLL_INTERVAL_S)  # Nothing tells when the page changes.
