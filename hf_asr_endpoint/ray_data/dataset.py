"""Recordings to a dataset of Ray Data, with a row for each, made by a pool of engines."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray.data
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import RayError

from hf_asr_endpoint.config import Settings, without_secrets
from hf_asr_endpoint.errors import EngineLost, InvalidSettings
from hf_asr_endpoint.model_choice import choose_models
from hf_asr_endpoint.ray_cluster import share_engines
from hf_asr_endpoint.ray_data.engine import TRANSCRIPTION, Engine
from hf_asr_endpoint.types import Transcription, TranscriptionOptions

MOST_IN_BATCH = 32
"""Recordings that an engine works on together: it ends with the longest of them, so they should be of a length."""
BATCHES_PER_ENGINE = 4
"""At least, so that engines end together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row: what came of a recording. location: as it was given. error: why there is no transcription."""

    location: str
    transcription: Transcription | None
    error: str


def transcribe(locations: Sequence[str], settings: Settings, options: TranscriptionOptions) -> Any:
    """Return a lazy `ray.data.Dataset` with the text columns `location`, `transcription` (JSON) and `error`.

    locations: paths that every machine can read, or URIs such as s3://bucket/call.mp3; best in the order of their
    lengths, because those of a batch end together. Rows come in any order. Ray gives a batch whose engine has died
    to another. Raises InvalidSettings.
    """
    choices = choose_models(settings)
    if len(choices) > 1:
        raise InvalidSettings(f"there are {len(choices)} models; allowed: one --model")
    share = share_engines(settings, choices[0])
    size = max(1, min(MOST_IN_BATCH, math.ceil(len(locations) / (BATCHES_PER_ENGINE * share.most))))
    items = [{"location": location} for location in locations]
    dataset = ray.data.from_items(items, override_num_blocks=math.ceil(len(items) / size))
    return dataset.map_batches(
        Engine,
        fn_constructor_args=(choices[0], without_secrets(settings), options),
        batch_size=size,
        compute=ActorPoolStrategy(min_size=share.fewest, max_size=share.most),
        **{name: value for name, value in share.actor_options.items() if value},
    )


def be_quiet() -> None:
    """Have Ray Data show no progress of its own, before a dataset is made."""
    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)


def read_rows(dataset: Any) -> Iterator[Row]:
    """Yield the rows of a dataset of `transcribe` as they come. Raises EngineLost when Ray gives up."""
    try:
        for row in dataset.iter_rows():
            text = row["transcription"]
            yield Row(
                location=row["location"],
                transcription=TRANSCRIPTION.validate_json(text) if text else None,
                error=row["error"],
            )
    except RayError as exc:
        raise EngineLost(f"Ray gave up: {exc}") from exc
