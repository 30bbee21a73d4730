"""What axe finds wrong with the page that is shown, and a picture of it for people to look at."""

from __future__ import annotations

import itertools
import os
from importlib import resources
from pathlib import Path

from tests.playground.page import Page

STATES_FOLDER = "STATES_FOLDER"
"""The variable with the folder that gets a picture of each state that axe looks at (`make states`)."""

_SCRIPT = (
    "const end = arguments[0]; axe.run({ resultTypes: ['violations'] }).then((found) => end(found.violations))"
)
_SHOWN = (
    "return [document.body.dataset.phase ?? 'docs', document.documentElement.dataset.theme,"
    " document.documentElement.clientWidth].join('-')"
)
_numbers = itertools.count(1)


def violations_in(page: Page) -> list[tuple[str, list[str]]]:
    """Return the names of the rules that are broken, with the elements and what is wrong with each.

    Where STATES_FOLDER is set, write a picture of the page there.
    """
    if folder := os.environ.get(STATES_FOLDER):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.driver.save_screenshot(f"{folder}/{next(_numbers):02}-{page.run(_SHOWN)}.png")
    page.run(resources.files("axe_core_python").joinpath("axe.min.js").read_text())
    found = page.driver.execute_async_script(_SCRIPT)
    return [(item["id"], [f"{node['html']} {node['failureSummary']}" for node in item["nodes"]]) for item in found]
