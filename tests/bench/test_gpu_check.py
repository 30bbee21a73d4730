from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.gpu.cpu import TESTS
from bench.gpu.differences import compare_states, first_difference
from bench.gpu.engine_load import audio_s
from bench.gpu.packed import pack, read_clips, unpack
from bench.gpu.parts.scenes import shape_weights, step_bytes
from bench.gpu.running import Check, Log, Phase, round_figures, run_groups, shorten_path
from bench.gpu.shapes import SMALL, TURBO, encoder_flops, weight_bytes
from bench.gpu.synchronizations import kernel_name
from bench.gpu_check import PHASES, _groups
from hf_asr_endpoint.whisper.decoding.state import AttemptRules, DecoderPrompt, DecodingState


@pytest.fixture
def check(tmp_path: Path) -> Check:
    return Check(
        device="cpu",
        is_small=False,
        directory=tmp_path,
        packed=tmp_path,
        out=tmp_path / "lines.jsonl",
        began=time.time(),
    )


def lines(check: Check) -> list[dict[str, object]]:
    return [json.loads(line) for line in check.out.read_text().splitlines()]


def fail(check: Check, log: Log) -> None:
    log.write("before")
    raise RuntimeError("no such device\nand more")


def wait(check: Check, log: Log) -> None:
    time.sleep(60)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_failing_or_hanging_phase_does_not_stop_the_next(check: Check) -> None:
    groups = [
        [Phase(name="fails", limit_s=10, run=fail), Phase(name="hangs", limit_s=0.5, run=wait)],
        [Phase(name="works", limit_s=10, run=lambda check, log: log.write("done", figure=1 / 3))],
    ]
    run_groups(groups, check, limit_s=30)
    found = {(line["phase"], line["what"]): line for line in lines(check)}
    assert found["fails", "the whole phase"]["error"] == "RuntimeError: no such device"
    assert found["hangs", "end"]["is_cut_off"] is True
    assert found["works", "done"]["figure"] == 0.33333


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_no_phase_starts_after_the_time_limit(check: Check) -> None:
    run_groups([[Phase(name="late", limit_s=10, run=fail)]], check, limit_s=0)
    (line,) = lines(check)
    assert (line["what"], line["phases"]) == ("no time left", ["late"])


@pytest.mark.parametrize("shape", [(7, 5), (4, 3, 3)])
def test_packed_matrices_are_off_by_half_an_integer_at_most(shape: tuple[int, ...]) -> None:
    weights = np.random.default_rng(0).normal(size=shape).astype(np.float16)
    weights[1] = 0
    found = unpack(pack(weights)).astype(np.float32)
    largest = np.abs(weights).max(axis=tuple(range(1, len(shape))), keepdims=True)
    assert (np.abs(found - weights) <= largest * (0.51 / 127)).all()


def test_packed_vectors_are_exact() -> None:
    weights = np.random.default_rng(0).normal(size=9).astype(np.float16)
    assert (unpack(pack(weights)) == weights).all()


def test_clips_are_unpacked_to_floats(tmp_path: Path) -> None:
    np.savez(tmp_path / "clips.npz", clip=np.array([-(2**15), 2**14], np.int16))
    assert read_clips(tmp_path)["clip"].tolist() == [-1.0, 0.5]


@pytest.mark.parametrize(
    ("expected", "found", "index"), [([1, 2], [1, 2], None), ([1, 2], [1, 3], 1), ([1, 2], [1], 1), ([], [1], 0)]
)
def test_first_difference_of_texts(expected: list[int], found: list[int], index: int | None) -> None:
    assert first_difference(expected, found) == index


def test_figures_are_rounded_and_valid_json() -> None:
    figures = {"a": [1 / 3, float("nan"), True, 7], 2: "text"}
    assert round_figures(figures) == {"a": [0.33333, "nan", True, 7], "2": "text"}


def test_paths_begin_with_the_package() -> None:
    path = "hf_asr_endpoint/whisper/decoding/sampling.py"
    assert shorten_path(f"/somewhere/{path}") == path


def test_kernel_names_lose_their_types() -> None:
    name = "void at::native::(anonymous namespace)::elementwise<4, at::native::FillFunctor<float> >(int)"
    assert kernel_name(name) == "at::native::elementwise FillFunctor"


def test_operations_and_bytes_of_turbos_shape() -> None:
    assert encoder_flops(TURBO, 1_500) == pytest.approx(1.887e12 + 0.369e12 + 0.018e12, rel=2e-3)
    assert weight_bytes(TURBO)["weights"] == pytest.approx(0.316e9, rel=2e-3)
    assert weight_bytes(TURBO)["window"] == pytest.approx(30.7e6, rel=2e-3)


def test_padding_of_a_short_window_does_not_count_as_audio() -> None:
    assert (audio_s(1_500), audio_s(450)) == (30.0, 5.0)


def test_phases_have_the_names_of_the_command_line() -> None:
    assert tuple(phase.name for group in _groups() for phase in group) == PHASES


def test_tests_of_the_kernels_exist() -> None:
    checkout = Path(__file__).parents[2]
    assert all((checkout / name).exists() for name in TESTS)


def test_differing_texts_are_counted_with_the_margin_of_the_expected_token() -> None:
    prompt, rules = DecoderPrompt(tokens=(9,)), AttemptRules(max_new_tokens=5)
    expected, found = (DecodingState(prompt=prompt, rules=rules, sampled=tokens) for tokens in ([0, 1], [0, 2]))
    logits = torch.tensor([[5.0, 0.0, 0.0], [0.0, 3.0, 2.5]])
    figures = compare_states([expected] * 2, [expected, found], names=["same", "other"], logits=[logits] * 2)
    assert figures["equal"] == "1 of 2"
    assert figures["differences"] == [{"clip": "other", "at": 1, "tokens": [1, 2], "margin": 0.5}]


def test_bytes_of_a_step_are_those_of_the_shape() -> None:
    expected = weight_bytes(SMALL, n_bytes=4)
    n_bytes = expected["weights"] + 1.5 * expected["window"]
    weights = shape_weights(SMALL, device="cpu")
    assert step_bytes(weights, [1_500, 750]) == pytest.approx(n_bytes, rel=2e-3)  # There is padding.
