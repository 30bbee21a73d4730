"""A live session of Deepgram's SDK. Arguments: URL PCM_AUDIO (16 bit, mono, 24 kHz)."""

import sys
from pathlib import Path

from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment
from outcomes import Outcomes

url, path = sys.argv[1:]
outcomes = Outcomes()
PIECE_BYTES = 4_800


def listen(**options: object) -> dict[str, object]:
    socket_url = url.replace("http", "ws")
    environment = DeepgramClientEnvironment(base=url, production=socket_url, agent=socket_url, agent_rest=url)
    client = DeepgramClient(api_key="any", environment=environment)
    texts, kinds = [], []
    with client.listen.v1.connect(
        model="nova-3", language="en", encoding="linear16", sample_rate="24000", **options
    ) as connection:
        audio = Path(path).read_bytes()
        for begin in range(0, len(audio), PIECE_BYTES):
            connection.send_media(audio[begin : begin + PIECE_BYTES])
        connection.send_keep_alive()
        connection.send_close_stream()
        for message in connection:
            kinds.append(type(message).__name__)
            if message.type == "Results" and message.is_final:
                texts.append(message.channel.alternatives[0].transcript)
    return {"text": " ".join(texts), "kinds": kinds}


outcomes.call("default", listen)
outcomes.call("events", listen, interim_results="true", vad_events="true", utterance_end_ms="1000")
outcomes.print()
