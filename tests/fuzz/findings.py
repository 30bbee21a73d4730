"""What went wrong, and the file that shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

MAX_GROWTH_MIB = 50.0
MAX_CASE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """case: how to name it on the command line, SEED:INDEX; None for what belongs to no single case. is_growth:
    whether it is about memory."""

    part: str
    what: str
    case: str | None = None
    is_growth: bool = False


@dataclass(slots=True)
class Report:
    """What came out of one part of a run. growth_mib: None where memory was not measured."""

    part: str
    folder: Path
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    growth_mib: float | None = None
    duration_s: float = 0.0

    @property
    def n_cases(self) -> int:
        return self.outcomes.total()

    def add_finding(self, what: str, *, seed: int, index: int, data: bytes) -> None:
        """Note a finding and save the bytes of its case."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{self.part}-{seed}-{index}"
        (self.folder / f"{name}.bin").write_bytes(data)
        (self.folder / f"{name}.txt").write_text(what + "\n")
        self.findings.append(Finding(part=self.part, what=what, case=f"{seed}:{index}"))

    def note_growth(self, growths_mib: Sequence[float]) -> None:
        """Note the largest growth of memory; too large a one is a finding."""
        self.growth_mib = max(growths_mib, default=None)
        if self.growth_mib is not None and self.growth_mib > MAX_GROWTH_MIB:
            what = f"memory grew by {self.growth_mib:.0f} MiB; allowed: {MAX_GROWTH_MIB:.0f} MiB"
            self.findings.append(Finding(part=self.part, what=what, is_growth=True))

    def show(self) -> str:
        """Return a table of outcomes, and the findings."""
        growth = "not measured" if self.growth_mib is None else f"{self.growth_mib:+.1f} MiB"
        lines = [f"{self.part}: {self.n_cases} cases in {self.duration_s:.0f} s, memory {growth}"]
        lines += [f"  {count:7,}  {outcome}" for outcome, count in self.outcomes.most_common()]
        for finding in self.findings:
            place = f" (--{finding.part}-case {finding.case})" if finding.case else ""
            lines.append(f"  FINDING{place}: {finding.what}")
        return "\n".join(lines)
