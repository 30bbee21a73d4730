"""What all subcommands share."""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from hf_asr_endpoint.command_line.main import COMMANDS, main


def test_help_lists_the_subcommands_and_imports_none() -> None:
    """It took a second, in which a server's libraries were imported."""
    code = "import sys; from hf_asr_endpoint.command_line.main import main\n"
    code += "try: main(['--help'])\n"
    code += "finally: assert not {'pydantic', 'starlette', 'torch', 'rich'} & sys.modules.keys()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    for name, (help_text, _) in COMMANDS.items():
        assert f"{name} " in result.stdout
        assert help_text.split()[-1] in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_each_subcommand_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main([name, "--help"])
    assert exited.value.code == 0
    assert "--cache-dir" in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "serve"])
def test_each_flag_is_on_the_page(name: str) -> None:
    """Those of `hf-asr serve` are the settings, which have a page of their own."""
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
    parser = argparse.ArgumentParser(add_help=False)
    import_module(COMMANDS[name][1]).add_arguments(parser)
    flags = {flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")}
    assert {flag for flag in flags if f"`{flag}" not in page} <= {"--log-format"}
    assert f"hf-asr {name}" in page


def test_a_key_for_clients_does_not_pass_for_one_of_the_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who misspells HF_ASR_API_KEYS would have an open server."""
    monkeypatch.setenv("HF_ASR_API_KEY", "k")
    assert main(["serve", "--port", "0"]) == 2
    assert "HF_ASR_API_KEY is not a setting; use HF_ASR_API_KEYS" in capsys.readouterr().err
