"""Flags to the fields of OpenAI's API: a server gets them as they are, and the engine the options that they mean.

So both ways have the same parameters, with the same meanings, limits and messages.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from pydantic import ValidationError

from hf_asr_endpoint.api.openai.parameters import parse_parameters
from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from hf_asr_endpoint.api.subtitles import SHAPE_FIELDS, ShapeFields
from hf_asr_endpoint.command_line.transcribe.formats import Format, needs_words
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.subtitles.files import CUE_FORMATS
from hf_asr_endpoint.subtitles.limits import SubtitleShape
from hf_asr_endpoint.types import Task, TranscriptionOptions

FIELDS = ("language", "prompt", "hotwords", "temperature", "num_beams", "seed", "audio_track")
"""Flags that are fields of the same name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What is wanted of each recording. fields: of OpenAI's form, but the file and the model."""

    task: Task
    fields: tuple[tuple[str, str], ...]
    options: TranscriptionOptions


def read_form(arguments: argparse.Namespace, formats: tuple[Format, ...]) -> Form:
    """Return what the flags ask for. Raises InvalidParameter."""
    if arguments.words and "json" not in formats and arguments.results is None:
        raise InvalidParameter(
            f"--words is for json and --results, and --format is {','.join(formats)}; subtitles of single words: "
            "--max-words-per-line 1, or --highlight-words"
        )
    granularities = ["segment", "word"] if needs_words(formats, shows_words=arguments.words) else ["segment"]
    fields = (
        *((name, text) for name in FIELDS if (text := getattr(arguments, name)) is not None),
        ("response_format", "verbose_json"),
        *(("timestamp_granularities[]", granularity) for granularity in granularities),
    )
    models = ServedModels([ServedModel(names=("default",))])
    options = parse_parameters(fields, task=arguments.task, models=models).options
    return Form(task=arguments.task, fields=fields, options=options)


def read_shape(arguments: argparse.Namespace, formats: tuple[Format, ...]) -> SubtitleShape:
    """Return the shape of subtitles. Raises InvalidParameter."""
    values = ((name, getattr(arguments, name)) for name in SHAPE_FIELDS)
    given = {name: value for name, value in values if value is not None and value is not False}
    try:
        fields = ShapeFields.model_validate(given)
    except ValidationError as exc:
        name = str(exc.errors(include_url=False)[0]["loc"][0])
        allowed = ShapeFields.model_fields[name].description
        raise InvalidParameter(f"{name} is {given[name]!r}; allowed: {allowed}", parameter=name) from exc
    cue_formats = [name for name in formats if name in CUE_FORMATS]
    # Without a format of cues, the first one says what is wrong.
    shapes = [fields.shape(name, name="--format") for name in cue_formats or formats[:1] or ("txt",)]
    return shapes[0]
