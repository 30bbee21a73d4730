"""The code that the playground shows for OpenAI's Node client runs, with every option, without the page itself."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from hf_asr_endpoint.api.playground import FILES
from tests.clients.installation import prepare_command
from tests.clients.table import find_client
from tests.conftest import DATA
from tests.server import Server

pytestmark = pytest.mark.clients

GENERATE = """
import { EXAMPLES } from "./code.js";
const { options, root, file } = JSON.parse(process.argv[1]);
console.log(EXAMPLES["openai-node"](options, { root: new URL(root), file, needsKey: false }));
"""
DEFAULTS = {"task": "transcribe", "language": "", "model": "", "prompt": "", "words": True, "temperature": 0}
OPTIONS = {
    "the defaults": {},
    "beams": {"beams": 2, "language": "en", "words": False, "prompt": 'A speech\'s "words", `and` ${more}'},
    "a temperature": {"temperature": 0.1, "beams": 5, "model": "openai/whisper-base"},
    "a translation": {"task": "translate", "language": "en"},
}
TIMEOUT_S = 60.0


@pytest.mark.parametrize("name", OPTIONS)
def test_the_code_for_node_runs(server: Server, tmp_path: Path, name: str) -> None:
    for path in FILES.glob("*.js"):
        shutil.copy(path, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    wanted = {
        "options": {"beams": 1, **DEFAULTS, **OPTIONS[name]},
        "root": f"{server.url}/",
        "file": str(DATA / "jfk.mp3"),
    }
    code = _run("node", "--input-type=module", "--eval", GENERATE, json.dumps(wanted), folder=tmp_path)
    installed = Path(prepare_command(find_client("openai", 7, "npm"))[1]).parent
    # Node looks for packages from where the code is.
    assert "ask what you can do" in _run("node", "--input-type=module", "--eval", code, folder=installed)


def _run(*command: str, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
