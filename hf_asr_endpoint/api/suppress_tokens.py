"""`suppress_tokens` as a text: token ids separated by commas, as on openai/whisper's command line."""

from __future__ import annotations

import re

from hf_asr_endpoint.decoding_options import MODELS_OWN_TOKENS
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.messages import quote

_TOKEN = re.compile(r"-1|[0-9]{1,9}")


def parse_suppress_tokens(text: str) -> tuple[int, ...] | None:
    """Return the ids of the tokens to suppress; None for the model's own list.

    -1 stands for the model's own list, and stays among other ids; "" is an empty list. Raises InvalidParameter.
    """
    items = [item.strip() for item in text.split(",")] if text.strip() else []
    if not all(_TOKEN.fullmatch(item) for item in items):
        raise InvalidParameter(
            f"suppress_tokens is {quote(text)}; allowed: token ids separated by commas, "
            '"-1" among them or alone for the model\'s own list, "" for an empty list',
            parameter="suppress_tokens",
        )
    tokens = tuple(dict.fromkeys(int(item) for item in items))
    return None if tokens == (MODELS_OWN_TOKENS,) else tokens
