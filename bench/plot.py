"""Draws results of `make bench` as bars. Run by `make pictures`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from bench.report import Measurement, SetResult
from bench.results import Results

WIDTH, ROW, BAR = 860, 34, 18  # pixels; a bar is lower than its row
TOP, BOTTOM = 84, 34
LABELS = 262
"""Pixels for the engines' names, before the first panel."""

PANEL, GAP = 286, 26
AT_END = 116
"""Pixels that a panel keeps for the figures behind its longest bar."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif"
MARGIN = 16
STYLE = f"""
  svg {{ background: #ffffff; }}
  text {{ font: 13px {FONT}; fill: #1f211d; }}
  .title {{ font-weight: 600; font-size: 15px; }}
  .soft {{ fill: #5b5a50; font-size: 12px; }}
  .ours {{ font-weight: 600; }}
  rect {{ fill: #b9b4a6; }}
  rect.ours {{ fill: #0d5c4d; }}
  @media (prefers-color-scheme: dark) {{
    svg {{ background: #161815; }}
    text {{ fill: #ecebe3; }}
    .soft {{ fill: #aeb0a4; }}
    rect {{ fill: #565c52; }}
    rect.ours {{ fill: #7fd3bb; }}
  }}"""


def draw(results: Results) -> str:
    """Return an SVG of both sets' rates, with their word error rates. It follows the reader's theme."""
    shown = [measurement for measurement in results.measurements if measurement.error is None]
    height = TOP + ROW * len(shown) + BOTTOM
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="{-MARGIN} {-MARGIN} {WIDTH + 2 * MARGIN} {height + 2 * MARGIN}">',
        f"<title>{escape(_summary(shown))}</title><style>{STYLE}\n</style>",
        _text(0, 20, "Seconds of audio transcribed in a second", kind="title"),
        _text(0, 40, f"{results.title}. {results.processor}, {results.day}", kind="soft"),
    ]
    for row, measurement in enumerate(shown):
        kind = "ours" if measurement.label == results.baseline else ""
        parts.append(_text(0, _middle(row), measurement.label, kind=kind))
    parts += _panel("one long file", [measurement.long for measurement in shown], LABELS, shown, results)
    parts += _panel(
        "short clips", [measurement.short for measurement in shown], LABELS + PANEL + GAP, shown, results
    )
    parts.append(_text(0, height - 8, "WER: word error rate, in per cent of the words.", kind="soft"))
    return "\n".join([*parts, "</svg>\n"])


def _panel(
    name: str, sets: Sequence[SetResult | None], left: int, shown: Sequence[Measurement], results: Results
) -> Iterator[str]:
    yield _text(left, TOP - 16, name, kind="soft")
    longest = max((result.rtfx for result in sets if result), default=1.0)
    for row, (measurement, result) in enumerate(zip(shown, sets, strict=True)):
        if result is None:
            continue
        kind = "ours" if measurement.label == results.baseline else ""
        width = max(result.rtfx / longest * (PANEL - AT_END), 1)
        top = TOP + ROW * row + (ROW - BAR) // 2
        yield f'<rect class="{kind}" x="{left}" y="{top}" width="{width:.1f}" height="{BAR}" rx="3"/>'
        figures = f'{result.rtfx:.1f}<tspan class="soft" dx="8">WER {result.wer:.1f}</tspan>'
        yield f'<text class="{kind}" x="{left + width + 8:.1f}" y="{_middle(row)}">{figures}</text>'


def _middle(row: int) -> int:
    """Return the base line of a row's text."""
    return TOP + ROW * row + ROW // 2 + 5


def _text(x: int, y: int, text: str, *, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>'


def _summary(shown: Sequence[Measurement]) -> str:
    """Return what the picture shows, for those who do not see it."""
    rates = (
        f"{measurement.label}: {measurement.long.rtfx:.1f} × real time"
        for measurement in shown
        if measurement.long
    )
    return "One long file: " + "; ".join(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help='what `make bench ARGS="--out FILE"` wrote')
    parser.add_argument("--out", type=Path, required=True, help="the SVG")
    arguments = parser.parse_args()
    arguments.out.write_text(draw(Results.read(arguments.results)))


if __name__ == "__main__":
    main()
