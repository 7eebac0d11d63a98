"""A bar chart as SVG, drawn by hand: no library, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH = 720
LEFT = 120
RIGHT = 90
BAR = 20
GAP = 8
TOP = 44
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 15px }
  .bar { fill: #9aa4b2 } .ours { fill: #2f9e6e } .floor { fill: #d8b26a }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .bar { fill: #5b6675 } }
"""


def bars(title: str, rows: Sequence[tuple[str, float, str, str]]) -> str:
    """A chart of horizontal bars.

    Args:
        title: above it.
        rows: of each bar its label, its value (at least 0), the value in words, and its class: ``ours``, ``floor`` or
            ``bar``.
    """
    longest = max((value for _, value, _, _ in rows), default=0) or 1
    height = TOP + len(rows) * (BAR + GAP) + GAP
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
            f'aria-label="{escape(title)}">'
        ),
        f"<style>{STYLE}</style>",
        f'<text class="title" x="8" y="24">{escape(title)}</text>',
    ]
    for place, (label, value, words, kind) in enumerate(rows):
        y = TOP + place * (BAR + GAP)
        length = max(1.0, (WIDTH - LEFT - RIGHT) * value / longest)
        middle = y + BAR * 0.72
        parts += [
            f'<text x="{LEFT - 8}" y="{middle:.1f}" text-anchor="end">{escape(label)}</text>',
            f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3"/>',
            f'<text x="{LEFT + length + 6:.1f}" y="{middle:.1f}">{escape(words)}</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])
