"""What holds for every order of speech, silence and commands."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hf_asr_endpoint.errors import EngineError
from hf_asr_endpoint.transcription.live.events import Committed, Completed, Delta, Failed
from hf_asr_endpoint.transcription.live.options import LiveOptions, SemanticVad, ServerVad
from tests.transcription.live.simulation import loud, script, silent, simulate

STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["loud", "silent"]), st.floats(0.03, 3.0)),
        st.tuples(st.sampled_from(["commit", "clear", "break", "mend"]), st.just(0.0)),
    ),
    max_size=12,
)
DETECTIONS = st.sampled_from([ServerVad(), ServerVad(silence_duration_s=0.1), SemanticVad(max_wait_s=2.0), None])


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, detection=DETECTIONS, delay_s=st.floats(0.0, 2.0))
def test_every_turn_has_one_end_and_texts_only_grow(
    steps: list[tuple[str, float]], detection: ServerVad | SemanticVad | None, delay_s: float
) -> None:
    simulation = simulate(LiveOptions(turn_detection=detection), script(80), delay_s=delay_s)
    for kind, seconds in steps:
        if kind in ("loud", "silent"):
            simulation.push(loud(seconds) if kind == "loud" else silent(seconds))
        elif kind in ("commit", "clear"):
            simulation.command(getattr(simulation.session, kind))
        else:
            simulation.failure = EngineError("broken") if kind == "break" else None
    simulation.command(simulation.session.finish)
    simulation.settle()
    committed = [event.turn for event in simulation.of(Committed) if isinstance(event, Committed)]
    ended = [event.turn for event in simulation.of(Completed, Failed) if isinstance(event, Completed | Failed)]
    assert ended == committed == sorted(set(committed))
    told = list(simulation.of(Delta, Completed, Failed))
    turns = [event.turn for event in told if isinstance(event, Delta | Completed | Failed)]
    assert turns == sorted(turns)
    times = [one.word.start for event in simulation.of(Delta) if isinstance(event, Delta) for one in event.words]
    assert times == sorted(times)
