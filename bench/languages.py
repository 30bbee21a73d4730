"""How often a server detects the spoken language and translates into English. Run by `make bench-languages`."""

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
    all_detected: list[bool] = []
    all_translated: list[bool] = []
    with run_server("--model", arguments.model) as server:
        for language in LANGUAGES:
            clips = language_clips(arguments.speech, folder=FOLDER, language=language)
            detected = [
                detects(server.url, clip, language) for clip in track(clips, description=f"{language}: detect")
            ]
            translated = [
                translates(server.url, clip) for clip in track(clips, description=f"{language}: translate")
            ]
            table.add_row(language, str(len(clips)), share(detected), share(translated))
            all_detected += detected
            all_translated += translated
    table.add_section()
    table.add_row("all", str(len(all_detected)), share(all_detected), share(all_translated))
    Console(width=100).print(table)


def detects(url: str, path: Path, language: str) -> bool:
    """Transcribe a file. Return whether the server detects its language."""
    answer = post_file(f"{url}/v1/audio/transcriptions", path)
    return _report(answer["language"] == LANGUAGE_NAMES[language], path, f"detected as {answer['language']}")


def translates(url: str, path: Path) -> bool:
    """Translate a file. Return whether the text is English."""
    text = post_file(f"{url}/v1/audio/translations", path)["text"]
    return _report(looks_english(text), path, f"not English: {text}")


def post_file(url: str, path: Path) -> Any:
    """Post a file as OpenAI's clients do. Return the response."""
    with path.open("rb") as file:
        fields = {"model": "whisper-1", "response_format": "verbose_json"}
        answer = requests.post(url, files={"file": file}, data=fields, timeout=REQUEST_TIMEOUT_S)
    answer.raise_for_status()
    return answer.json()


def share(outcomes: Sequence[bool]) -> str:
    """Return the number and percentage of true outcomes, for a cell."""
    if not outcomes:
        return "–"
    return f"{sum(outcomes)} ({100 * sum(outcomes) / len(outcomes):.1f} %)"


def _report(is_correct: bool, path: Path, what: str) -> bool:
    if not is_correct:
        print(f"{path.name}: {what}")
    return is_correct


if __name__ == "__main__":
    main()
