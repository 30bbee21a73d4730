"""The checks: each makes questions, asks a server, and returns rows for a table and lines for what went wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.robustness.clips import RATE, SpokenClip, Waveform, error_rate
from bench.robustness.requesting import Answer, Dialect, Question, ask
from bench.robustness.sounds import SOUNDS
from hf_asr_endpoint.languages import LANGUAGE_NAMES

SILENCES_S = (0.0, 3.0, 10.0, 15.0)
START_TOLERANCE_S = 0.3
PROMPTS = {
    "de": "Hallo, dies ist eine Sprachnachricht mit korrekter Zeichensetzung.",
    "en": "Hello, this is a voice message with correct punctuation.",
    "es": "Hola, este es un mensaje de voz con la puntuación correcta.",
}
PASSAGE_S = 25.0
PASSAGES_OF = ("de", "en", "fr", "es", "pt", "it", "sv", "zh")
SOUND_S = 60.0
N_SOUND_ROUNDS = 2
N_PAUSED, PAUSE_S, MIN_PAUSED_S = 10, 0.8, 8.0


@dataclass(slots=True)
class Report:
    """columns and rows: a table. faults: what a reader wants to see of single recordings."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def silences(url: str, clips: Sequence[SpokenClip]) -> Report:
    """Put silence before every clip: the text is as without it, and the first segment starts at the speech.

    Where a clip gets loud is not always where it has speech: noise and breath count as loud. So the starts are
    also compared with those of the clips without silence.
    """
    report = Report(
        ("silence before, s", "clips", "WER %", "starts", "within 0.3 s of sound", "as without silence")
    )
    without: list[float | None] = []
    for silence_s in SILENCES_S:
        quiet = np.zeros(round(silence_s * RATE), np.float32)
        questions = (
            Question(waveform=np.concatenate([quiet, clip.waveform]), fields={"language": clip.language})
            for clip in clips
        )
        answers = ask(url, questions)
        starts = [None if (at := answer.first_start_s) is None else at - silence_s for answer in answers]
        without = without or starts
        near = same = 0
        for clip, start, expected in zip(clips, starts, without, strict=True):
            near += start is not None and abs(start - clip.speech_start_s) <= START_TOLERANCE_S
            is_same = (start is None) == (expected is None)
            if is_same and start is not None and expected is not None:
                is_same = abs(start - expected) <= START_TOLERANCE_S
            same += is_same
            if not is_same:
                report.faults.append(f"{silence_s:g} s, {clip.name}: starts at {start}, without at {expected}")
        n_starts = sum(start is not None for start in starts)
        wer = f"{_wer(clips, answers):.2f}"
        report.rows.append((f"{silence_s:g}", str(len(clips)), wer, str(n_starts), str(near), str(same)))
    return report


def prompts(url: str, clips: Sequence[SpokenClip]) -> Report:
    """Send a prompt in another language and no language: it is detected as without a prompt."""
    report = Report(("prompt", "clips", "language as without", "language as in the manifest", "WER %"))
    without = ask(url, (Question(waveform=clip.waveform, fields={}) for clip in clips))
    right = sum(_is(answer, clip.language) for clip, answer in zip(clips, without, strict=True))
    report.rows.append(("none", str(len(clips)), "–", str(right), f"{_wer(clips, without):.2f}"))
    for language, prompt in PROMPTS.items():
        foreign = [(clip, bare) for clip, bare in zip(clips, without, strict=True) if clip.language != language]
        answers = ask(url, (Question(waveform=clip.waveform, fields={"prompt": prompt}) for clip, _ in foreign))
        same = 0
        for (clip, bare), answer in zip(foreign, answers, strict=True):
            same += answer.language == bare.language
            if answer.language != bare.language:
                report.faults.append(f"{language} prompt, {clip.name}: {bare.language} became {answer.language}")
        right = sum(_is(answer, clip.language) for (clip, _), answer in zip(foreign, answers, strict=True))
        wer = _wer([clip for clip, _ in foreign], answers)
        report.rows.append((language, str(len(foreign)), str(same), str(right), f"{wer:.2f}"))
    return report


def passages(url: str, clips: Sequence[SpokenClip]) -> Report:
    """Join passages in three languages: each has its language, and a WER within 3 of the passage alone."""
    report = Report(("languages", "right languages", "WER % joined", "WER % alone", "difference of each"))
    by_language = {language: _passage(clips, language) for language in PASSAGES_OF}
    known = [language for language, passage in by_language.items() if passage is not None]
    trios = [tuple(known[(index + step) % len(known)] for step in (0, 1, 3)) for index in range(len(known))]
    for trio in trios:
        parts = [part for language in trio if (part := by_language[language]) is not None]
        joined = ask(url, [Question(waveform=np.concatenate([part.waveform for part in parts]), fields={})])[0]
        alone = ask(url, [Question(waveform=part.waveform, fields={"language": part.language}) for part in parts])
        start_s, rights, differences, wers = 0.0, 0, [], []
        for part, answer in zip(parts, alone, strict=True):
            end_s = start_s + part.seconds
            inside = [each for each in joined.segments if start_s <= (each["start"] + each["end"]) / 2 < end_s]
            detected = {each.get("language", joined.language) for each in inside}
            is_right = detected in ({part.language}, {LANGUAGE_NAMES[part.language]})
            rights += is_right
            text = " ".join(each["text"].strip() for each in inside)
            wers.append(
                (
                    error_rate([part.reference], [text], [part.language]),
                    error_rate([part.reference], [answer.text], [part.language]),
                )
            )
            differences.append(f"{wers[-1][0] - wers[-1][1]:+.1f}")
            if not is_right:
                report.faults.append(f"{'-'.join(trio)}, passage {part.language}: {sorted(map(str, detected))}")
            start_s = end_s
        joined_wer, alone_wer = np.mean(wers, axis=0)
        report.rows.append(
            ("-".join(trio), f"{rights} of 3", f"{joined_wer:.1f}", f"{alone_wer:.1f}", " ".join(differences))
        )
    return report


def nonspeech(url: str, clips: Sequence[SpokenClip]) -> Report:
    """Send a minute of each sound, twice, and all in one file: no text in either dialect, conditioning or not."""
    del clips
    random = np.random.default_rng(17)
    sounds = {
        f"{name} {turn}": make(SOUND_S, random) for turn in range(N_SOUND_ROUNDS) for name, make in SOUNDS.items()
    }
    sounds["all of them"] = np.concatenate(list(sounds.values()))
    report = Report(("dialect, conditioning", "files", "minutes", "files with text"))
    ways: list[tuple[Dialect, Mapping[str, str]]] = [
        ("openai", {}),
        ("deepinfra", {}),
        ("deepinfra", {"condition_on_previous_text": "false"}),
    ]
    for dialect, fields in ways:
        answers = ask(url, (Question(waveform=wave, fields=fields, dialect=dialect) for wave in sounds.values()))
        wrong = [(name, answer.text) for name, answer in zip(sounds, answers, strict=True) if answer.text]
        report.faults += [f"{dialect}, {name}: {text[:200]!r}" for name, text in wrong]
        minutes = sum(len(wave) for wave in sounds.values()) / RATE / 60
        options = ", ".join(f"{name}={value}" for name, value in fields.items()) or "defaults"
        report.rows.append((f"{dialect}, {options}", str(len(sounds)), f"{minutes:.0f}", str(len(wrong))))
    return report


def pauses(url: str, clips: Sequence[SpokenClip]) -> Report:
    """Cut a pause of 0.8 s before the last clause of long clips: nothing is lost, with and without a prompt."""
    report = Report(("prompt", "clips", "WER % with the pause", "WER % without", "clips that lost words"))
    chosen = [clip for clip in clips if clip.language == "en" and clip.seconds >= MIN_PAUSED_S][::2][:N_PAUSED]
    fields = {"language": "en", "timestamp_granularities[]": "word"}
    plain = ask(url, (Question(waveform=clip.waveform, fields=fields) for clip in chosen))
    paused = [_with_pause(clip.waveform, answer) for clip, answer in zip(chosen, plain, strict=True)]
    for prompt in ("", PROMPTS["en"]):
        more = {"language": "en", **({"prompt": prompt} if prompt else {})}
        answers = ask(url, (Question(waveform=wave, fields=more) for wave in paused))
        lost = 0
        for clip, before, after in zip(chosen, plain, answers, strict=True):
            n_before, n_after = len(before.text.split()), len(after.text.split())
            if n_after < n_before - 1:
                lost += 1
                report.faults.append(f"{clip.name}: {before.text!r} became {after.text!r}")
        rates = (f"{_wer(chosen, each):.2f}" for each in (answers, plain))
        report.rows.append((prompt[:20] or "none", str(len(chosen)), *rates, str(lost)))
    return report


def _with_pause(waveform: Waveform, answer: Answer) -> Waveform:
    """Insert near-silence in the widest gap between words in the second half, else before the last four words."""
    words = answer.words[len(answer.words) // 2 :]
    pairs = enumerate(itertools.pairwise(words))
    gaps = [(after["start"] - before["end"], index) for index, (before, after) in pairs]
    widest = max(gaps)[1] if gaps and max(gaps)[0] > 0 else max(len(words) - 5, 0)
    at = round((words[widest]["end"] + words[widest + 1]["start"]) / 2 * RATE)
    hush = 1e-4 * np.random.default_rng(at).standard_normal(round(PAUSE_S * RATE))
    return np.concatenate([waveform[:at], hush.astype(np.float32), waveform[at:]])


def _passage(clips: Sequence[SpokenClip], language: str) -> SpokenClip | None:
    """Join clips of a language until they last PASSAGE_S; None where there are too few."""
    parts: list[SpokenClip] = []
    for clip in clips:
        if clip.language == language and clip.seconds >= 4 and sum(part.seconds for part in parts) < PASSAGE_S:
            parts.append(clip)
    if sum(part.seconds for part in parts) < PASSAGE_S / 2:
        return None
    return SpokenClip(
        name=language,
        language=language,
        reference=" ".join(part.reference for part in parts),
        waveform=np.concatenate([part.waveform for part in parts]),
        speech_start_s=parts[0].speech_start_s,
    )


def _wer(clips: Sequence[SpokenClip], answers: Sequence[Answer]) -> float:
    references, languages = [clip.reference for clip in clips], [clip.language for clip in clips]
    return error_rate(references, [answer.text for answer in answers], languages)


def _is(answer: Answer, language: str) -> bool:
    return answer.language in (language, LANGUAGE_NAMES.get(language))


CHECKS: Mapping[str, Callable[[str, Sequence[SpokenClip]], Report]] = {
    "silences": silences,
    "prompts": prompts,
    "passages": passages,
    "nonspeech": nonspeech,
    "pauses": pauses,
}
