"""The text form of `suppress_tokens`, as openai/whisper's command line has it."""

from __future__ import annotations

import re

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.types import MODELS_OWN_TOKENS

_TOKEN = re.compile(r"-1|[0-9]{1,9}")


def parse_suppress_tokens(text: str) -> tuple[int, ...] | None:
    """Return the tokens that must not come, from ids with commas between; None for the model's own list.

    -1 among the ids stays there and stands for the model's list; "" is an empty list. Raises InvalidParameter.
    """
    items = [item.strip() for item in text.split(",")] if text.strip() else []
    if not all(_TOKEN.fullmatch(item) for item in items):
        raise InvalidParameter(
            f'suppress_tokens is {text[:80]!r}; allowed: token ids with commas between, "-1" among them or alone '
            'for the model\'s own list, "" for none',
            parameter="suppress_tokens",
        )
    tokens = tuple(dict.fromkeys(int(item) for item in items))
    return None if tokens == (MODELS_OWN_TOKENS,) else tokens
