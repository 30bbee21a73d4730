"""The command `hf-asr`: finds its subcommand, and imports that one alone, so that `hf-asr --help` is fast."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from hf_asr_endpoint import __version__
from hf_asr_endpoint.command_line.exit_codes import EXIT_INTERRUPTED, EXIT_USAGE
from hf_asr_endpoint.errors import AsrError

COMMANDS = {
    "serve": ("serve a model over HTTP", "hf_asr_endpoint.command_line.serve"),
    "transcribe": ("transcribe files", "hf_asr_endpoint.command_line.transcribe.command"),
    "doctor": ("test this machine, and say how to be faster", "hf_asr_endpoint.command_line.doctor.command"),
    "models": ("list the models on this machine and on the Hub", "hf_asr_endpoint.command_line.models"),
}
"""The subcommands: what each does, and its module."""


class Command(Protocol):
    """What the module of a subcommand has."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the subcommand's arguments."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do the work and return the exit code. Raises AsrError or OSError for a user's mistake."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code: 2, with one sentence on stderr, for a user's mistake."""
    given = sys.argv[1:] if argv is None else argv
    # The first argument that is no flag: the flags before a subcommand have no values.
    name = next((argument for argument in given if not argument.startswith("-")), None)
    command = cast(Command, import_module(COMMANDS[name][1])) if name in COMMANDS else None
    arguments = _parser(name, command).parse_args(given)
    assert command is not None
    try:
        return command.run(arguments)
    except (AsrError, OSError) as exc:
        print(f"hf-asr: error: {exc}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _parser(chosen: str | None, command: Command | None) -> argparse.ArgumentParser:
    """Return the parser. Only the subcommand that was chosen has its arguments."""
    parser = argparse.ArgumentParser(
        prog="hf-asr",
        description="Whisper, as a server with the APIs of Hugging Face, OpenAI and DeepInfra, and on files.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(metavar="command", required=True)
    for name, (help_text, _) in COMMANDS.items():
        # Without abbreviations: --api-keys KEY would be --api-keys-file, and its error would show the key.
        description = f"{help_text[0].upper()}{help_text[1:]}."
        subparser = subparsers.add_parser(name, help=help_text, description=description, allow_abbrev=False)
        if name == chosen and command is not None:
            command.add_arguments(subparser)
    return parser
