"""Charts as SVG, by hand: no library for two of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 30, 40
#: Colours by what they are for, on a light page and on a dark one.
COLOURS = {
    "paper": ("#ffffff", "#0d1117"),
    "ink": ("#333333", "#d0d7de"),
    "grid": ("#dddddd", "#30363d"),
    "line": ("#0a6cc4", "#58a6ff"),
    "other": ("#aaaabb", "#6e7681"),
}

Points = Sequence[tuple[float, float]]


def chart(title: str, under: str, points: Points) -> str:
    """Return a line through points; the horizontal axis is logarithmic, the vertical one begins at 0."""
    if not points:
        return _text(WIDTH / 2, 16, f"{title}: not measured", size=13)
    low, high = math.log10(points[0][0]), math.log10(points[-1][0])
    top = max(y for _, y in points) * 1.15

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - low) / (high - low) if high > low else 0.5
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)

    parts = [_text(WIDTH / 2, 16, title, size=13), _text(WIDTH / 2, HEIGHT - 6, under)]
    for step in range(5):
        value = top / 1.15 * step / 4
        _, y = place(points[0][0], value)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" class="grid"/>')
        parts.append(_text(LEFT - 6, y + 4, _short(value), anchor="end"))
    places = [place(x, y) for x, y in points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    parts.append(f'<path d="{path}" class="line"/>')
    for (x, y), (value, height) in zip(places, points, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="dot"/>')
        parts.append(_text(x, HEIGHT - BOTTOM + 16, _short(value)))
        parts.append(_text(x, y - 8, _short(height)))
    return "\n".join(parts)


def bars(title: str, rows: Sequence[tuple[str, float]]) -> tuple[str, int]:
    """Return horizontal bars, the longest first, and how high they are together; the axis is logarithmic."""
    step, left, wide = 20, 130, 2 * WIDTH - 200
    rows = sorted(rows, key=lambda row: -row[1])
    low, high = math.log10(min(value for _, value in rows)) - 0.3, math.log10(rows[0][1])
    parts = [_text(WIDTH, 16, title, size=13)]
    for number, (name, value) in enumerate(rows):
        y = TOP + number * step
        length = (math.log10(value) - low) / (high - low) * wide
        kind = "dot" if name == "mlq" else "other"
        parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{step - 5}" class="{kind}"/>')
        parts.append(_text(left - 6, y + 12, name, anchor="end"))
        parts.append(_text(left + length + 5, y + 12, f"{value:,.0f}", anchor="start"))
    return "\n".join(parts), TOP + len(rows) * step + 10


def page(charts: Sequence[str], below: tuple[str, int]) -> str:
    """Return an SVG of two charts side by side, with bars below."""
    inner, height = below
    moved = "\n".join(f'<g transform="translate({WIDTH * i} 0)">\n{each}\n</g>' for i, each in enumerate(charts))
    total = HEIGHT + height + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {total}" font-family="sans-serif">\n'
        f"<style>\n{_style(0)}\n@media (prefers-color-scheme: dark) {{\n{_style(1)}\n}}\n</style>\n"
        f'<rect width="100%" height="100%" class="paper"/>\n{moved}\n'
        f'<g transform="translate(0 {HEIGHT + 10})">\n{inner}\n</g>\n</svg>\n'
    )


def _style(dark: int) -> str:
    paper, ink, grid, line, other = (colours[dark] for colours in COLOURS.values())
    return (
        f".paper {{ fill: {paper} }} text {{ fill: {ink} }} .grid {{ stroke: {grid} }} .other {{ fill: {other} }}\n"
        f".dot {{ fill: {line} }} .line {{ fill: none; stroke: {line}; stroke-width: 2 }}"
    )


def _text(x: float, y: float, text: str, *, size: int = 11, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    if value >= 10_000:
        return f"{value / 1e3:.0f}k"
    if value >= 1_000:
        return f"{value / 1e3:.1f}k".replace(".0k", "k")
    return f"{value:.0f}"
