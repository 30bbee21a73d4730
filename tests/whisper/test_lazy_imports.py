"""Which packages are imported only where they are needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WITHOUT_NUMBA = """
import importlib, pkgutil, sys
from pathlib import Path
for name in ("numba", "llvmlite", "triton", "ray"):
    sys.modules[name] = None  # Importing it raises ImportError.
ROOMS = ("hf_asr_endpoint.whisper.kernels.", "hf_asr_endpoint.whisper.device.triton_kernels.")
OF_RAY = ("ray_", "command_line.serve_ray", "command_line.transcribe.archive")
NOT_HERE = (*ROOMS, *(f"hf_asr_endpoint.{name}" for name in OF_RAY))

import torch
import hf_asr_endpoint
for module in pkgutil.walk_packages(hf_asr_endpoint.__path__, "hf_asr_endpoint."):
    if not module.name.startswith(NOT_HERE) and not module.name.endswith("__main__"):
        importlib.import_module(module.name)

from hf_asr_endpoint.whisper.decoding.state import DecoderPrompt, DecodingState, AttemptRules
from hf_asr_endpoint.whisper.loading import load_speech_model
model, tokenizer, info = load_speech_model(Path(sys.argv[1]), device="cpu", dtype="float32", slots=1)
prompt = DecoderPrompt(tokens=(tokenizer.sot,))
state = DecodingState(prompt=prompt, rules=AttemptRules(max_new_tokens=3))
model.encode({0: torch.zeros(info.n_mels, 3_000)})
model.prefill({0: state})
while not state.is_finished:
    model.decode_step({0: state})
print(len(state.logprobs))
"""


def run(code: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_float32_on_the_cpu_needs_no_compiler(tiny_en_directory: Path) -> None:
    assert int(run(WITHOUT_NUMBA, str(tiny_en_directory))) >= 1


def test_the_composition_root_imports_no_torch() -> None:
    """torch takes seconds, in which the server answers already, and OpenMP's settings must come before it."""
    assert run("import hf_asr_endpoint.composition, sys; print('torch' in sys.modules)") == "False"
