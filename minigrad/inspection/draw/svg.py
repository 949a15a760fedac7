"""The graph of a trace as SVG: `trace.to_svg()`, and what a notebook shows of a trace."""

from __future__ import annotations

from html import escape

from minigrad.inspection.draw.graph import INK, LINE, MARGIN, SIZE, colour, curve, labels, scene, style
from minigrad.inspection.draw.words import tooltip
from minigrad.inspection.trace import Trace


def to_svg(trace: Trace, zoom: str = "layer") -> str:
    """The graph as one SVG element, which needs no other file; hovering over a box shows its formulas."""
    s = scene(trace, zoom)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{s.width:.0f}" height="{s.height:.0f}" '
        f'viewBox="0 0 {s.width:.1f} {s.height:.1f}" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" '
        f'font-size="{SIZE}" fill="{INK}">',
        f"<title>{escape(s.title)}</title>",
        f'<rect width="{s.width:.1f}" height="{s.height:.1f}" fill="white"/>',
        svg_text(20, 24, s.title, ' font-weight="bold"'),
    ]
    for x, y, width, height, words in s.frames:
        out.append(svg_rect(x, y, width, height, "#F7F7F7", ' stroke="#999999" stroke-dasharray="2 3" rx="8"'))
        out.append(svg_text(x + width + 6, y + LINE, words, ' font-weight="bold"'))
    for wire, points in s.wires:
        wide, ink, dashed = style(wire)
        path = "".join(f" C{a:.1f},{b:.1f} {c:.1f},{d:.1f} {x:.1f},{y:.1f}" for (a, b), (c, d), (x, y) in curve(points))
        (x0, y0), (x, y) = points[0], points[-1]
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        out.append(f'<path d="M{x0:.1f},{y0:.1f}{path}" fill="none" stroke="{ink}" stroke-width="{wide:.2f}"{dash}/>')
        out.append(f'<path d="M{x:.1f},{y:.1f} l-3.5,-7 h7 z" fill="{ink}"/>')
    for box, x, y, width, height, lines in s.boxes:
        edge = f' stroke="{INK}" stroke-width="0.8" rx="{8 if box.is_leaf else 2}"'
        out.append(f"<g><title>{escape(tooltip(box))}</title>")
        out += [svg_rect(x + d, y + d, width, height, "white", edge) for d in (6, 3) if box.repeats > 1]
        out.append(svg_rect(x, y, width, height, colour(box), edge))
        for k, line in enumerate(lines):
            out.append(svg_text(x + MARGIN, y + LINE * (k + 1), line, ' font-weight="bold"' if k == 0 else ""))
        out.append("</g>")
    for share, x, y, width in labels(s):
        out.append(svg_rect(x, y - 10, width, LINE - 2, "white", ' opacity="0.8"'))
        out.append(svg_text(x, y, share))
    out += [svg_text(20, s.height - LINE * (len(s.caption) - k), line) for k, line in enumerate(s.caption)]
    return "\n".join([*out, "</svg>"])


def svg_text(x: float, y: float, line: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" xml:space="preserve"{more}>{escape(line)}</text>'


def svg_rect(x: float, y: float, width: float, height: float, fill: str, more: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"{more}/>'
