"""Attention heat maps as tables of coloured cells, in Graphviz's HTML-like labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.viz import escape

Array = np.ndarray[Any, Any]

LOWEST, MIDDLE, HIGHEST = (255, 255, 255), (116, 165, 204), (16, 52, 84)  # the colours of weights 0, ½ and 1
GRID, TEXT, FAINT = "#C9D3DB", "#1D2A35", "#5B6873"
GRID_STYLE = 'BORDER="0" CELLBORDER="1" CELLSPACING="0" CELLPADDING="1"'
CELL = 14  # points
LONGEST = 9  # letters of a token to show
SPACE = "·"
WIDEST = 760  # points for all heads of one row


def heatmaps(weights: Array, rows: Sequence[str], columns: Sequence[str], note: str) -> str:
    """Heat maps of the weights (H, Q, K): a labelled table for each head, side by side."""
    rows, columns = [_short(token) for token in rows], [_short(token) for token in columns]
    width = sum(map(_width, columns)) + max(map(_width, rows)) + 20
    lines = -(-len(weights) * width // WIDEST)
    beside = max(1, -(-len(weights) // lines))
    heads = [f"<TD>{_head(f'head {number}', head, rows, columns)}</TD>" for number, head in enumerate(weights, 1)]
    across = f'<TD COLSPAN="{beside}">{{}}</TD>'
    return _table(
        [
            across.format("<B>attention weights</B>"),
            *("".join(heads[start : start + beside]) for start in range(0, len(heads), beside)),
            across.format(_small(note, FAINT)),
            across.format(_scale()),
        ],
        'BORDER="1" BGCOLOR="#FFFFFF" STYLE="ROUNDED" CELLBORDER="0" CELLSPACING="6"',
    )


def mask_table(mask: Array, shape: str) -> str:
    """Table of a boolean mask (Q, K)."""
    grid = _table(["".join(_cell(float(allowed), 8) for allowed in row) for row in mask], GRID_STYLE)
    caption = "nothing is hidden" if mask.all() else "dark: may attend"
    lines = [_small(f"mask {shape}"), grid, _small(caption, FAINT)]
    return _table([f"<TD>{line}</TD>" for line in lines], 'BORDER="0" CELLBORDER="0" CELLSPACING="1"')


def _head(title: str, weights: Array, rows: Sequence[str], columns: Sequence[str]) -> str:
    """Heat map of one head: keys along the top, queries down the side."""
    corner = '<TD BORDER="0"></TD>'
    header = "".join(f'<TD BORDER="0" WIDTH="{_width(token)}">{_small(token)}</TD>' for token in columns)
    body = (
        f'<TD BORDER="0" ALIGN="RIGHT">{_small(token + " ")}</TD>{"".join(map(_cell, line))}'
        for token, line in zip(rows, weights.tolist(), strict=True)
    )
    over = f'{corner}<TD BORDER="0" COLSPAN="{len(columns)}">{title}</TD>'
    return _table([over, corner + header, *body], GRID_STYLE)


def _scale() -> str:
    """Colour scale, from 0 to 1."""
    ends = [f'<TD BORDER="0">{_small(text)}</TD>' for text in ("0 ", " 1")]
    cells = "".join(_cell(step / 8) for step in range(9))
    size = f'FIXEDSIZE="TRUE" WIDTH="{9 * (CELL + 4) + 40}" HEIGHT="{CELL + 6}"'
    return _table([ends[0] + cells + ends[1]], f"{GRID_STYLE} {size}")


def _table(rows: Sequence[str], style: str) -> str:
    body = "".join(f"<TR>{row}</TR>" for row in rows)
    return f'<TABLE COLOR="{GRID}" {style}>{body}</TABLE>'


def _cell(weight: float, size: int = CELL) -> str:
    return f'<TD BGCOLOR="{colour(weight)}" WIDTH="{size}" HEIGHT="{size}"></TD>'


def colour(weight: float) -> str:
    """Colour of a weight as six hexadecimal digits: white for 0, dark for 1."""
    low, high, share = (LOWEST, MIDDLE, 2 * weight) if weight < 0.5 else (MIDDLE, HIGHEST, 2 * weight - 1)
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in zip(low, high, strict=True))


def _small(text: str, ink: str = TEXT) -> str:
    return f'<FONT POINT-SIZE="9" COLOR="{ink}">{escape(text)}</FONT>'


def _short(token: str) -> str:
    token = token.strip() or SPACE
    return token if len(token) <= LONGEST else token[: LONGEST - 1] + "…"


def _width(token: str) -> int:
    return max(CELL, 4 + 5 * len(token))
