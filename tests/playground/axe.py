"""What axe finds wrong with the page that is shown."""

from __future__ import annotations

from importlib import resources

from tests.playground.page import Page

_SCRIPT = (
    "const end = arguments[0]; axe.run({ resultTypes: ['violations'] }).then((found) => end(found.violations))"
)


def violations_in(page: Page) -> list[tuple[str, list[str]]]:
    """Return the names of the rules that are broken, with the elements and what is wrong with each."""
    page.run(resources.files("axe_core_python").joinpath("axe.min.js").read_text())
    found = page.driver.execute_async_script(_SCRIPT)
    return [(item["id"], [f"{node['html']} {node['failureSummary']}" for node in item["nodes"]]) for item in found]
