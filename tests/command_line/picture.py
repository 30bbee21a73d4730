"""Draws what `hf-asr transcribe` prints over a folder (`make pictures`)."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI

from tests.conftest import DATA

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "command-line.svg"
ARGUMENTS = ("transcribe", "talks", "--format", "srt,json", "--language", "en")
CLIPS = ("367-130732-0001", "2033-164914-0007", "3331-159605-0004", "1688-142285-0003")
COLUMNS = 92
_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # rich's are on another host.


def main() -> None:
    """Transcribe a folder as users do, and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        talks = Path(folder) / "talks"
        talks.mkdir()
        for number, clip in enumerate(CLIPS, 1):
            shutil.copy(DATA / f"{clip}.flac", talks / f"talk-{number}.flac")
        command = [sys.executable, "-m", "hf_asr_endpoint", *ARGUMENTS]
        printed = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True, check=True).stderr
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
    console.print(f"[bold]$ hf-asr {' '.join(ARGUMENTS)}[/bold]")
    console.print(printed.rstrip(), markup=False, soft_wrap=False)
    drawn = console.export_svg(title="hf-asr transcribe", theme=DIMMED_MONOKAI, unique_id="command-line")
    PICTURE.write_text(_FONT.sub("", drawn))


if __name__ == "__main__":
    main()
