"""The Transcriber of an HTTP replica: each recording goes to a free engine replica, which does the work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prometheus_client.metrics_core import Metric
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from hf_asr_endpoint.api.siblings import Read
from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.cancellation import SHUTTING_DOWN, CancellationToken
from hf_asr_endpoint.errors import AsrError, EngineError, EngineLost, EngineUnavailable, UnsupportedParameter
from hf_asr_endpoint.ray_serve.audio import SentAudio, send_audio
from hf_asr_endpoint.ray_serve.board import News, repeat
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.stream import LiveStream
from hf_asr_endpoint.transcription.orders import Order
from hf_asr_endpoint.transcription.stream import TranscriptionStream, last_of
from hf_asr_endpoint.types import (
    ANYBODY,
    Activity,
    Caller,
    Health,
    Progress,
    Transcription,
    TranscriptionOptions,
)

logger = logging.getLogger(__name__)

NO_LIVE_SESSIONS = (
    "this server runs on Ray, which gives each request to another engine, and a live session needs one engine for "
    "all of its audio; allowed: recordings; `hf-asr serve` without --ray has live sessions"
)


class RayTranscriber:
    """A Transcriber over the handles of engine deployments, and its replica's Siblings. Used in one event loop."""

    def __init__(self, engines: Mapping[str, Any], board: Any, *, replica: str) -> None:
        """engines: the handles by the ids of their models, the default one first. board: the Board's handle.

        replica: the id of this HTTP replica.
        """
        # By reference, also if Serve's other calls go by gRPC: that pickles the references to blocks, Ray cannot
        # count them there, and the object store would never free the blocks.
        self._engines = {
            model: handle.options(method_name="work", stream=True, _by_reference=True)
            for model, handle in engines.items()
        }
        self._board = board
        self._replica = replica
        self._news = News(models={}, counted=[])
        self._read_own: Read = list
        self._relays: dict[asyncio.Task[None], CancellationToken] = {}
        self._watching: asyncio.Task[None] | None = None
        self._is_closed = False

    def start(self) -> None:
        """Begin to exchange news with the board."""
        self._watching = asyncio.get_running_loop().create_task(repeat(self._exchange))

    async def transcribe(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> Transcription:
        return await last_of(await self._begin(reader, options, caller, streams=False))

    async def stream(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> TranscriptionStream:
        return await self._begin(reader, options, caller, streams=True)

    async def live(self, options: LiveOptions, caller: Caller = ANYBODY) -> LiveStream:
        raise UnsupportedParameter(NO_LIVE_SESSIONS, parameter="model")

    def health(self, model: str | None = None) -> Health:
        """Return a model's health; without one, the first that is not ready, else that of the default model."""
        if self._is_closed:
            return Health(state="failed", detail=SHUTTING_DOWN)
        if model is not None:
            return self._health_of(model)
        healths = [self._health_of(one) for one in self._engines]
        details = dict.fromkeys(health.detail for health in healths if health.detail)
        return next(
            (health for health in healths if health.state != "ready"),
            replace(healths[0], detail="; ".join(details)),
        )

    def activity(self, model: str | None = None) -> Activity:
        state = self._news.models.get(model or next(iter(self._engines)))
        return Activity() if state is None else state.activity

    def join(self, read: Read) -> None:
        self._read_own = read

    def metrics(self) -> list[Metric]:
        return self._news.counted

    def close(self) -> None:
        """Stop what this replica has asked for. The engines go on: others use them too. From any thread."""
        self._is_closed = True
        for task, token in tuple(self._relays.items()):
            task.get_loop().call_soon_threadsafe(token.cancel, SHUTTING_DOWN)
        if self._watching is not None:
            self._watching.get_loop().call_soon_threadsafe(self._watching.cancel)

    def _health_of(self, model: str) -> Health:
        state = self._news.models.get(model)
        told = Health(state="loading", detail="Ray to tell of the engines") if state is None else state.health
        return replace(told, no_live_sessions=NO_LIVE_SESSIONS)

    async def _exchange(self) -> None:
        self._news = await self._board.exchange.remote(self._replica, self._read_own())

    async def _begin(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller, *, streams: bool
    ) -> TranscriptionStream:
        with contextlib.closing(reader):
            self._check_open()
            sent = await asyncio.to_thread(send_audio, reader.order)
        self._check_open()  # Again: `close` knows of no relay that begins after it.
        token = CancellationToken()
        stream = TranscriptionStream(token)
        relay = asyncio.ensure_future(
            self._relay(sent, options, caller, stream=stream, streams=streams, token=token)
        )
        self._relays[relay] = token
        relay.add_done_callback(lambda ended: self._relays.pop(ended))

        def stop() -> None:
            relay.cancel()

        token.add_callback(stop)
        return stream

    def _check_open(self) -> None:
        if self._is_closed:
            raise EngineUnavailable(SHUTTING_DOWN)

    async def _relay(
        self,
        sent: SentAudio,
        options: TranscriptionOptions,
        caller: Caller,
        *,
        stream: TranscriptionStream,
        streams: bool,
        token: CancellationToken,
    ) -> None:
        """Fill a stream with what the engine yields. Cancelled, it has the engine stop."""
        order = Order.of(caller, streams=streams)
        response = None
        try:
            response = self._engines[options.model or next(iter(self._engines))].remote(sent, options, order)
            async for event in response:
                if isinstance(event, AsrError):
                    raise event
                if isinstance(event, Progress):
                    caller.on_progress(event)
                stream.put(event)
            stream.finish()
        except asyncio.CancelledError:
            if response is not None:
                response.cancel()
            try:
                token.raise_if_cancelled()
                # Ray raises CancelledError also when nobody has cancelled this task.
                raise EngineLost("Ray has cancelled the work on this request; send the request again")
            except EngineError as exc:
                stream.finish(exc)
        except (RayError, RayServeException) as exc:
            logger.warning("an engine replica was lost: %s", exc)
            stream.finish(EngineLost("the engine that worked on this request has ended; send the request again"))
        except Exception as exc:  # Whatever it is, whoever reads the stream must get it: it would never end.
            stream.finish(exc)
