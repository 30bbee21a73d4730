"""A recording on its way to an engine: its bytes in Ray's object store.

Ray moves blocks that do not fit into memory to the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayError

from hf_asr_endpoint.audio.blocks import BlockLost, BlockReader, ReceivedAudio, RemoteAudio
from hf_asr_endpoint.audio.source import ReadingOrder
from hf_asr_endpoint.errors import EngineLost


@dataclass(frozen=True, slots=True, kw_only=True)
class SentAudio:
    """A recording in the object store, for as long as its sender holds this. blocks: references to its blocks."""

    audio: RemoteAudio
    blocks: tuple[Any, ...]


def send_audio(order: ReadingOrder) -> SentAudio:
    """Copy a recording into the object store. Blocks. Its file stays open.

    Raises EngineLost if the store does not take it, for example because it is full.
    """
    reader = BlockReader(order)
    try:
        # Arrays, unlike bytes, are read where they lie.
        blocks = [ray.put(np.frombuffer(reader.read(index), np.uint8)) for index in range(reader.n_blocks)]
    except RayError as exc:
        raise EngineLost(f"the audio cannot be sent to an engine: {exc}") from exc
    return SentAudio(audio=reader.audio, blocks=tuple(blocks))


def receive_audio(sent: SentAudio) -> ReceivedAudio:
    """Return a recording that was sent. Raises what ReceivedAudio raises."""

    def fetch(index: int) -> Any:
        try:
            return ray.get(sent.blocks[index])
        except RayError as exc:
            raise BlockLost(str(exc)) from exc

    return ReceivedAudio(sent.audio, fetch)
