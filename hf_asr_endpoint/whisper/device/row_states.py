"""What a step reads and writes of its rows: tensors on the device, one column for each slot, that never move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.decoding.state import DecodingState

MAX_STEPPED_PROMPT = 8  # tokens: longer prompts take a pass of their own, which feeds all tokens at once
N_RESULTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RowNumbers:
    """The numbers of one row.

    token: to feed next. position: of this token. slot: of the self-attention cache. window: the slot that has the
    row's window. length: of the window, in positions; 0: there is none. n_prompt: tokens that are fed whatever the
    logits say. sot_position: of the token whose logits give P(no_speech); -1: known already. n_sampled: tokens
    after the prompt. last_timestamp: the last sampled one, -1 for none. is_last_timestamp: whether the last token
    is a timestamp. is_before_timestamp: whether the one before it is, or does not exist. is_stopped: whether the
    row stays as it is: its text has ended, it waits, or the host chooses its tokens.
    """

    slot: int
    token: int = 0
    position: int = 0
    window: int = 0
    length: int = 0
    n_prompt: int = 0
    sot_position: int = -1
    n_sampled: int = 0
    last_timestamp: int = -1
    is_last_timestamp: int = 0
    is_before_timestamp: int = 0
    min_tokens: int = 0
    max_tokens: int = 0
    is_stopped: int = 1


NUMBERS = tuple(RowNumbers.__slots__)


def row_numbers(
    state: DecodingState,
    *,
    slot: int,
    window: int,
    length: int,
    timestamp_begin: int,
    is_fed: bool,
    is_stopped: bool = False,
) -> RowNumbers:
    """Return the numbers of a row as the host knows it.

    is_fed: whether everything before the last token has been fed; otherwise nothing has.
    """
    prompt, sampled, rules = state.prompt.tokens, state.sampled, state.rules
    stamps = [token >= timestamp_begin for token in sampled]
    return RowNumbers(
        slot=slot,
        token=sampled[-1] if is_fed else prompt[0],
        position=len(prompt) + len(sampled) - 1 if is_fed else 0,
        window=window,
        length=length,
        n_prompt=0 if is_fed else len(prompt),
        sot_position=-1 if is_fed else state.prompt.sot_index,
        n_sampled=len(sampled),
        last_timestamp=next((token for token in reversed(sampled) if token >= timestamp_begin), -1),
        is_last_timestamp=int(bool(stamps) and stamps[-1]),
        is_before_timestamp=int(len(stamps) < 2 or stamps[-2]),
        min_tokens=rules.min_new_tokens,
        max_tokens=rules.max_new_tokens,
        is_stopped=int(is_stopped),
    )


@dataclass(slots=True, kw_only=True)
class RowStates:
    """The states of rows.

    numbers: int32, shape = (len(NUMBERS), n_rows); the tensors below are views of it, shape = (n_rows,), see
    RowNumbers. prompts: int32, shape = (n_rows, MAX_STEPPED_PROMPT). results: of the last step, float32, shape =
    (n_rows, N_RESULTS): the chosen token, -1 for none; its log-probability; P(no_speech), -1 for none.
    """

    numbers: Tensor
    prompts: Tensor
    results: Tensor
    slot: Tensor = field(init=False)
    token: Tensor = field(init=False)
    position: Tensor = field(init=False)
    window: Tensor = field(init=False)
    length: Tensor = field(init=False)
    n_prompt: Tensor = field(init=False)
    sot_position: Tensor = field(init=False)
    n_sampled: Tensor = field(init=False)
    last_timestamp: Tensor = field(init=False)
    is_last_timestamp: Tensor = field(init=False)
    is_before_timestamp: Tensor = field(init=False)
    min_tokens: Tensor = field(init=False)
    max_tokens: Tensor = field(init=False)
    is_stopped: Tensor = field(init=False)

    def __post_init__(self) -> None:
        for name, row in zip(NUMBERS, self.numbers.unbind(), strict=True):
            setattr(self, name, row)

    def first(self, n_rows: int) -> RowStates:
        """Return views of the first rows."""
        return RowStates(
            numbers=self.numbers[:, :n_rows], prompts=self.prompts[:n_rows], results=self.results[:n_rows]
        )

    def clone(self) -> RowStates:
        return RowStates(numbers=self.numbers.clone(), prompts=self.prompts.clone(), results=self.results.clone())

    def copy_(self, other: RowStates) -> None:
        """Take other states, without moving any tensor."""
        self.numbers.copy_(other.numbers)
        self.prompts.copy_(other.prompts)
        self.results.copy_(other.results)

    def load_(self, packed: Tensor) -> None:
        """Replace rows. packed: see `pack_rows`, on the device."""
        n_numbers = len(NUMBERS)
        rows = packed[0].long()
        self.numbers.index_copy_(1, rows, packed[:n_numbers])
        self.prompts.index_copy_(0, rows, packed[n_numbers:].t())

    def stop_(self, packed: Tensor) -> None:
        """Set `is_stopped`. packed: slots, then the values, int32, shape = (2, n)."""
        self.is_stopped.index_copy_(0, packed[0].long(), packed[1])


def new_states(n_rows: int, *, device: torch.device) -> RowStates:
    """Return stopped rows without windows; row i uses slot i."""
    states = RowStates(
        numbers=torch.zeros((len(NUMBERS), n_rows), dtype=torch.int32, device=device),
        prompts=torch.zeros((n_rows, MAX_STEPPED_PROMPT), dtype=torch.int32, device=device),
        results=torch.zeros((n_rows, N_RESULTS), device=device),
    )
    states.slot.copy_(torch.arange(n_rows, dtype=torch.int32, device=device))
    states.is_stopped.fill_(1)
    return states


def pack_rows(rows: Sequence[RowNumbers], prompts: Mapping[int, Sequence[int]]) -> Tensor:
    """Return all numbers and prompts of rows, int32 on the host, shape = (len(NUMBERS) + MAX_STEPPED_PROMPT, n).

    prompts: by slot, of the rows that are fed theirs by steps. The first number of a row is its slot.
    """
    columns = [
        [getattr(row, name) for name in NUMBERS]
        + [*prompts.get(row.slot, ()), *[0] * (MAX_STEPPED_PROMPT - len(prompts.get(row.slot, ())))]
        for row in rows
    ]
    return torch.tensor(columns, dtype=torch.int32).t().contiguous()
