"""How often a live server names the language that is spoken, and translates it. Run by `make bench-languages`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.english import looks_english
from bench.recordings import language_clips
from hf_asr_endpoint.languages import LANGUAGE_NAMES
from tests.server import run_server

FOLDER = "fleurs"
LANGUAGES = ("de", "fr", "es", "pt")
REQUEST_TIMEOUT_S = 600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--model", default="embedded:whisper-base", help="as for hf-asr serve")
    arguments = parser.parse_args()
    table = Table(
        *("language", "clips", "language\ncorrect", "translation\nEnglish"),
        title=f"{arguments.model}, no language given: FLEURS",
    )
    all_heard: list[bool] = []
    all_translated: list[bool] = []
    with run_server("--model", arguments.model) as server:
        for language in LANGUAGES:
            clips = language_clips(arguments.speech, folder=FOLDER, language=language)
            heard = [hears(server.url, clip, language) for clip in track(clips, description=f"{language}: hear")]
            translated = [
                translates(server.url, clip) for clip in track(clips, description=f"{language}: translate")
            ]
            table.add_row(language, str(len(clips)), share(heard), share(translated))
            all_heard += heard
            all_translated += translated
    table.add_section()
    table.add_row("all", str(len(all_heard)), share(all_heard), share(all_translated))
    Console(width=100).print(table)


def hears(url: str, path: Path, language: str) -> bool:
    """Transcribe. Returns whether the language that the server names is the right one."""
    answer = ask(f"{url}/v1/audio/transcriptions", path)
    return _report(answer["language"] == LANGUAGE_NAMES[language], path, f"heard as {answer['language']}")


def translates(url: str, path: Path) -> bool:
    """Translate. Returns whether what comes back is English."""
    text = ask(f"{url}/v1/audio/translations", path)["text"]
    return _report(looks_english(text), path, f"not English: {text}")


def ask(url: str, path: Path) -> Any:
    """Post a file as OpenAI's clients do and return the answer."""
    with path.open("rb") as file:
        fields = {"model": "whisper-1", "response_format": "verbose_json"}
        answer = requests.post(url, files={"file": file}, data=fields, timeout=REQUEST_TIMEOUT_S)
    answer.raise_for_status()
    return answer.json()


def share(outcomes: Sequence[bool]) -> str:
    """Return the part that is true, as a cell."""
    if not outcomes:
        return "–"
    return f"{sum(outcomes)} ({100 * sum(outcomes) / len(outcomes):.1f} %)"


def _report(is_right: bool, path: Path, what: str) -> bool:
    if not is_right:
        print(f"{path.name}: {what}")
    return is_right


if __name__ == "__main__":
    main()
