"""The Transcriber over the engine: a thread for each request, one batch for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from hf_asr_endpoint.audio.chunking import ChunkingOptions
from hf_asr_endpoint.audio.levelling import LevelledDetector
from hf_asr_endpoint.audio.source import WaveformReader
from hf_asr_endpoint.audio.vad import VoiceActivityDetector
from hf_asr_endpoint.cancellation import SHUTTING_DOWN, CancellationToken
from hf_asr_endpoint.engine.engine import Engine
from hf_asr_endpoint.engine.sequence import Request
from hf_asr_endpoint.errors import EngineUnavailable
from hf_asr_endpoint.transcription.backlog import Backlog, Place
from hf_asr_endpoint.transcription.live.decoder import EngineDecoder
from hf_asr_endpoint.transcription.live.options import LiveOptions
from hf_asr_endpoint.transcription.live.session import LiveSession
from hf_asr_endpoint.transcription.live.stream import LiveStream, open_session
from hf_asr_endpoint.transcription.live.workers import LiveWorkers
from hf_asr_endpoint.transcription.long_form import LongForm
from hf_asr_endpoint.transcription.model_languages import check_language_and_task, check_live, no_live_sessions
from hf_asr_endpoint.transcription.model_limits import check_suppress_tokens, check_width
from hf_asr_endpoint.transcription.preparation import (
    BeginPreparations,
    ChunkSource,
    Deliver,
    PreparationOrder,
)
from hf_asr_endpoint.transcription.preparation_workers import PreparationWorkers
from hf_asr_endpoint.transcription.request_threads import RequestThreads
from hf_asr_endpoint.transcription.spectrogram import COMPILED_LENGTH_STEP, LENGTH_STEP, SpectrogramMaker
from hf_asr_endpoint.transcription.stream import TranscriptionStream, last_of
from hf_asr_endpoint.transcription.vocabulary import Vocabulary
from hf_asr_endpoint.transcription.warm_up import warm_up
from hf_asr_endpoint.types import (
    ANYBODY,
    Activity,
    Caller,
    Health,
    ModelInfo,
    Progress,
    Segment,
    Transcription,
    TranscriptionOptions,
)
from hf_asr_endpoint.whisper.checkpoint.tokenizer import WhisperTokenizer

DEFAULT_LANGUAGE = "en"  # the answer's language for a recording without speech


class BatchingTranscriber:
    """Owns the engine and all threads. Up to `max_requests` are in flight; more wait for a thread."""

    def __init__(
        self,
        engine: Engine,
        tokenizer: WhisperTokenizer,
        info: ModelInfo,
        *,
        max_requests: int,
        max_ahead: int,
        encoder_padding_s: float,
        max_beams: int,
        max_waiting_audio_s: float = math.inf,
        max_wait_s: float = math.inf,
        max_step_s: float = math.inf,
        check: Callable[[TranscriptionOptions], None] = lambda options: None,
        prepare: BeginPreparations = PreparationWorkers,
    ) -> None:
        """max_ahead: chunks of a request in memory. encoder_padding_s: silence after a chunk shorter than 30 s.

        max_beams: beams, candidates or samples in a request, at most. max_waiting_audio_s: of all requests.
        max_wait_s: that a request may have to wait for its turn. max_step_s: that the model may take for one stage
        of a step; it counts as failed from then until that ends. check: raises InvalidParameter for options that
        the engine's model cannot follow. prepare: makes what prepares the audio, which is closed with this.
        """
        self._check_model = check
        self._engine = engine
        self._max_step_s = max_step_s
        self._tokenizer = tokenizer
        self._info = info
        self._vocabulary = Vocabulary(tokenizer, is_multilingual=info.is_multilingual)
        self._detector = LevelledDetector(VoiceActivityDetector())
        self._max_ahead = max_ahead
        # On a GPU, windows of equal length are encoded in one call.
        is_fine = info.device == "cpu" and not info.compiles_each_shape
        self._make_spectrogram = SpectrogramMaker(
            n_mels=info.n_mels,
            encoder_padding_s=encoder_padding_s,
            length_step=LENGTH_STEP if is_fine else COMPILED_LENGTH_STEP,
            is_left_to_model=info.takes_waveforms,
        )
        self._max_beams = max_beams
        self._backlog = Backlog(max_s=max_waiting_audio_s, max_wait_s=max_wait_s)
        self._requests = RequestThreads(max_requests)
        self._preparations = prepare(
            self._make_spectrogram, is_engine_busy=(lambda: engine.is_busy) if info.device == "cpu" else None
        )
        self._live_workers = LiveWorkers()
        self._live: set[LiveStream] = set()
        engine.start()

    def warm_up(self, *, slots: int) -> None:
        """Compile or load the code that the first requests would otherwise wait for. Raises EngineError."""
        warm_up(
            self._engine,
            self._vocabulary,
            slots=slots,
            n_mels=self._info.n_mels,
            takes_waveforms=self._info.takes_waveforms,
            compiles_each_shape=self._info.compiles_each_shape,
        )

    async def transcribe(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> Transcription:
        return await last_of(self._start(reader, options, caller, streams=False))

    async def stream(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller = ANYBODY
    ) -> TranscriptionStream:
        return self._start(reader, options, caller, streams=True)

    async def live(self, options: LiveOptions, caller: Caller = ANYBODY) -> LiveStream:
        self._check_live(options)
        if self._requests.is_closed or self._engine.failure is not None:
            raise EngineUnavailable(str(self._engine.failure or SHUTTING_DOWN))
        self._live_workers.start()
        stream = open_session(
            LiveSession(self._detector, options, detects_language=self._info.is_multilingual),
            EngineDecoder(
                self._engine, self._vocabulary, make_spectrogram=self._make_spectrogram, owner=caller.owner
            ),
            enqueue=self._live_workers.enqueue,
            check=self._check_live,
        )
        self._engine.open_session()
        self._live.add(stream)

        def forget() -> None:
            self._engine.close_session()
            self._live.discard(stream)

        stream.add_end_callback(forget)
        if self._requests.is_closed:  # `close` may not have seen the session.
            stream.close(EngineUnavailable(SHUTTING_DOWN))
        return stream

    def _check_live(self, options: LiveOptions) -> None:
        check_live(self._tokenizer.language_tokens, options, self._info)

    def health(self, model: str | None = None) -> Health:
        if self._requests.is_closed:
            return Health(state="failed", detail=SHUTTING_DOWN)
        if self._engine.failure is not None:
            return Health(state="failed", detail=str(self._engine.failure))
        if (step_s := self._engine.meter.stage_s) > self._max_step_s:
            detail = f"a step of the model has taken {step_s:.0f} s so far; allowed: {self._max_step_s:g} s"
            return Health(state="failed", detail=detail)
        if self._preparations.failure:
            return Health(state="failed", detail=self._preparations.failure)
        return Health(state="ready", model=self._info, no_live_sessions=no_live_sessions(self._info))

    def activity(self, model: str | None = None) -> Activity:
        meter, preparations = self._engine.meter, self._preparations
        return Activity(
            slots=self._engine.slots,
            slots_in_use=meter.n_slots_in_use,
            windows_waiting=meter.n_waiting,
            waiting_audio_s=self._backlog.waiting_s,
            wait_s=self._backlog.wait_s,
            turn_wait_s=self._backlog.turn_wait_s,
            speed=self._backlog.speed,
            engine_s={stage.value: seconds for stage, seconds in meter.seconds.items()},
            preparation_s=preparations.worked_s,
            prepared_audio_s=preparations.prepared_audio_s,
            windows={status.value: n for status, n in meter.ended.items()},
            fallbacks=meter.n_fallbacks,
            tokens=meter.n_tokens,
        )

    def close(self) -> None:
        self._requests.cancel()
        for stream in tuple(self._live):
            stream.close(EngineUnavailable(SHUTTING_DOWN))
        self._live_workers.close()
        self._engine.close()
        self._preparations.close()
        self._requests.close()

    def _start(
        self, reader: WaveformReader, options: TranscriptionOptions, caller: Caller, *, streams: bool
    ) -> TranscriptionStream:
        """Start a request's thread. streams: whether segments are wanted as they come."""
        try:
            self._check(options)
            place = self._backlog.open_place(is_patient=caller.is_patient)
        except BaseException:
            reader.close()
            raise

        def work(token: CancellationToken, telling: Caller) -> Iterator[Segment | Transcription]:
            request = Request(token, prefers_latency=streams, owner=caller.owner)
            token.add_callback(place.leave)  # `LongForm.run` cancels it at its end.
            return self._transcribe(reader, options, request, telling, place)

        return self._requests.start(work, reader, caller, streams=streams)

    def _check(self, options: TranscriptionOptions) -> None:
        """Raise InvalidParameter for what this model and engine cannot do."""
        self._check_model(options)
        check_language_and_task(
            self._tokenizer.language_tokens, options, is_multilingual=self._info.is_multilingual
        )
        check_width(options.decoding, max_beams=self._max_beams, slots=self._engine.slots_per_request)
        check_suppress_tokens(self._tokenizer, options.decoding)

    def _transcribe(
        self,
        reader: WaveformReader,
        options: TranscriptionOptions,
        request: Request,
        caller: Caller,
        place: Place,
    ) -> Iterator[Segment | Transcription]:
        def advance(done_s: float) -> None:
            place.advance(done_s)
            caller.on_progress(Progress(done_s=place.done_s, length_s=place.length_s))

        long_form = LongForm(
            self._engine,
            options,
            vocabulary=self._vocabulary,
            max_ahead=self._max_ahead,
            request=request,
            on_progress=advance,
        )

        def start(deliver: Deliver) -> ChunkSource:
            return self._preparations.submit(
                PreparationOrder(
                    reader=reader,
                    chunking=ChunkingOptions(
                        voice_activity=options.voice_activity, chunk_length_s=options.chunk_length_s
                    ),
                    max_ahead=self._max_ahead,
                    token=request.token,
                    deliver=deliver,
                    ramps_up=request.prefers_latency,
                    on_length=place.declare,
                )
            )

        segments = []
        for segment in long_form.run(start):
            segments.append(segment)
            yield segment
        yield Transcription(
            task=options.task,
            language=options.language or long_form.language or DEFAULT_LANGUAGE,
            language_probability=long_form.language_probability,
            duration_s=long_form.duration_s,
            segments=tuple(segments),
        )
