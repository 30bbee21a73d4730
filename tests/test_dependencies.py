"""Every package that is imported is declared, so that an installation never depends on what others bring along."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import packages_distributions

from tests.test_layers import CHECKOUT, FILES, NAME, imported_modules


def normalized(distribution: str) -> str:
    """Return a distribution's name as package indexes compare it. Source: PEP 503."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_imported_packages_are_declared() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    own = ("gpu", "ray", "shared-jobs", "traces", "transformers")
    lines = [*project["dependencies"], *(line for extra in own for line in extras[extra])]
    declared = {normalized(re.split(r"[^\w.-]", line)[0]) for line in lines}
    imported = {module.split(".")[0] for path in FILES for module in imported_modules(path)}
    distributions = packages_distributions()
    undeclared = {
        package
        for package in imported - sys.stdlib_module_names - {NAME}
        if not declared & {normalized(name) for name in distributions.get(package, (package,))}
    }
    assert not undeclared
