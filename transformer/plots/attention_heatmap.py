"""Attention heat maps as tables of coloured cells, in Graphviz's HTML-like labels."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from minigrad.viz import escape

Array = np.ndarray[Any, Any]

LOWEST, MIDDLE, HIGHEST = (255, 255, 255), (116, 165, 204), (16, 52, 84)  # the colours of weights 0, ½ and 1
GRID, TEXT, FAINT, PAPER = "#C9D3DB", "#1D2A35", "#5B6873", "#FFFFFF"
GRID_STYLE = 'BORDER="0" CELLBORDER="1" CELLSPACING="0" CELLPADDING="0"'
CELL, CELL_OF_MANY, CELL_WITH_VALUE, CELL_OF_OVERVIEW = 14, 10, 15, 3  # points
MANY = 1_000  # cells of all heads
LONGEST = 12  # letters of a token to show
SPACE = "·"
MARKS, JOINER = ("Mn", "Mc", "Me", "Cf"), "\N{ZERO WIDTH JOINER}"  # categories of what is written at a letter
ASPECT = 1.4  # width of a grid of heads, in heights
SHADES = 16  # of an overview


def heatmaps(
    heads: Sequence[tuple[str, Array]], rows: Sequence[str], columns: Sequence[str], note: str, values: bool = False
) -> str:
    """Heat maps of weights (Q, K): a labelled table for each title and head, in a grid.

    A pointer that rests on a cell is shown its two tokens and its weight; ``values`` writes the weight into the cell,
    in hundredths.
    """
    rows, columns = [_short(token) for token in rows], [_short(token) for token in columns]
    cell = CELL_WITH_VALUE if values else CELL if len(heads) * len(rows) * len(columns) <= MANY else CELL_OF_MANY
    width = cell * len(columns) + 6 * max(map(_letters, rows)) + 20
    height = cell * len(rows) + 9 * max(map(len, columns)) + 24
    beside = min(len(heads), max(1, round((ASPECT * len(heads) * height / width) ** 0.5)))
    beside = -(-len(heads) // -(-len(heads) // beside))  # full lines
    tables = [f'<TD VALIGN="TOP">{_head(title, head, rows, columns, cell, values)}</TD>' for title, head in heads]
    return _panel(
        ["".join(tables[start : start + beside]) for start in range(0, len(tables), beside)],
        beside,
        note + (" · numbers: hundredths" if values else ""),
    )


def overview(layers: Sequence[tuple[str, Sequence[tuple[str, Array]]]], note: str) -> str:
    """Overview of all layers: a line for each, with a small heat map of each head, without labels."""
    lines = []
    for layer, heads in layers:
        maps = "".join(f"<TD>{_small_map(f'{layer} · {title}', head)}</TD>" for title, head in heads)
        lines.append(f'<TD ALIGN="RIGHT">{_small(layer)}</TD>{maps}')
    titles = max((heads for _, heads in layers), key=len)
    header = "<TD></TD>" + "".join(f"<TD>{_small(title.removeprefix('head '))}</TD>" for title, _ in titles)
    return _panel([header, *lines], 1 + len(titles), note)


def mask_table(mask: Array, shape: str) -> str:
    """Table of a boolean mask (Q, K)."""
    grid = _table(["".join(_cell(float(allowed), 8) for allowed in row) for row in mask], GRID_STYLE)
    caption = "nothing is hidden" if mask.all() else "dark: may attend"
    lines = [_small(f"mask {shape}"), grid, _small(caption, FAINT)]
    return _table([f"<TD>{line}</TD>" for line in lines], 'BORDER="0" CELLBORDER="0" CELLSPACING="1"')


def _panel(lines: Iterable[str], columns: int, note: str) -> str:
    across = f'<TD COLSPAN="{columns}">{{}}</TD>'
    return _table(
        [
            across.format("<B>attention weights</B>"),
            *lines,
            across.format(_small(note, FAINT)),
            across.format(_scale()),
        ],
        f'BORDER="1" BGCOLOR="{PAPER}" STYLE="ROUNDED" CELLBORDER="0" CELLSPACING="6"',
    )


def _head(title: str, weights: Array, rows: Sequence[str], columns: Sequence[str], cell: int, values: bool) -> str:
    """Heat map of one head: keys along the top, queries down the side."""
    corner = '<TD BORDER="0"></TD>'
    header = "".join(f'<TD BORDER="0" VALIGN="BOTTOM">{_upright(token)}</TD>' for token in columns)
    body = []
    for query, line in zip(rows, weights.tolist(), strict=True):
        cells = (
            _cell(weight, cell, f"{query} → {key}: {weight:.3f}", f"{100 * weight:.0f}" if values else "")
            for key, weight in zip(columns, line, strict=True)
        )
        body.append(f'<TD BORDER="0" ALIGN="RIGHT">{_small(query + " ")}</TD>{"".join(cells)}')
    over = f'{corner}<TD BORDER="0" COLSPAN="{len(columns)}">{title}</TD>'
    return _table([over, corner + header, *body], GRID_STYLE)


def _small_map(title: str, weights: Array) -> str:
    """Heat map without labels: cells of one shade side by side are one."""
    lines = []
    for row in np.round(weights * SHADES).tolist():
        shades = ((shade / SHADES, len(list(run))) for shade, run in groupby(row))
        lines.append(
            "".join(
                f'<TD BGCOLOR="{colour(shade)}" COLSPAN="{count}" FIXEDSIZE="TRUE" WIDTH="{count * CELL_OF_OVERVIEW}"'
                f' HEIGHT="{CELL_OF_OVERVIEW}"></TD>'
                for shade, count in shades
            )
        )
    tip = f'HREF="#" TITLE="{escape(title)}"'
    return _table(lines, f'BORDER="1" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0" {tip}')


def _scale() -> str:
    """Colour scale, from 0 to 1."""
    ends = [f'<TD BORDER="0">{_small(text)}</TD>' for text in ("0 ", " 1")]
    cells = "".join(_cell(step / 8, CELL) for step in range(9))
    size = f'FIXEDSIZE="TRUE" WIDTH="{9 * (CELL + 4) + 40}" HEIGHT="{CELL + 6}"'
    return _table([ends[0] + cells + ends[1]], f"{GRID_STYLE} {size}")


def _table(rows: Sequence[str], style: str) -> str:
    body = "".join(f"<TR>{row}</TR>" for row in rows)
    return f'<TABLE COLOR="{GRID}" {style}>{body}</TABLE>'


def _cell(weight: float, size: int, title: str = "", text: str = "") -> str:
    tip = f' HREF="#" TITLE="{escape(title)}"' if title else ""
    ink = PAPER if weight > 0.45 else TEXT
    inside = f'<FONT POINT-SIZE="7" COLOR="{ink}">{text}</FONT>' if text else ""
    return f'<TD BGCOLOR="{colour(weight)}" FIXEDSIZE="TRUE" WIDTH="{size}" HEIGHT="{size}"{tip}>{inside}</TD>'


def colour(weight: float) -> str:
    """Colour of a weight as six hexadecimal digits: white for 0, dark for 1."""
    low, high, share = (LOWEST, MIDDLE, 2 * weight) if weight < 0.5 else (MIDDLE, HIGHEST, 2 * weight - 1)
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in zip(low, high, strict=True))


def _small(text: str, ink: str = TEXT) -> str:
    return f'<FONT POINT-SIZE="9" COLOR="{ink}">{escape(text)}</FONT>'


def _upright(token: str) -> str:
    """Token from top to bottom, a letter a line, so that all columns have one width."""
    return f'<FONT POINT-SIZE="8" COLOR="{TEXT}">{"<BR/>".join(map(escape, _clusters(token)))}</FONT>'


def _clusters(token: str) -> list[str]:
    """Letters of a token, each with its marks; emoji that a joiner makes one stay one."""
    clusters: list[str] = []
    for letter in token:
        if clusters and (unicodedata.category(letter) in MARKS or clusters[-1].endswith(JOINER)):
            clusters[-1] += letter
        else:
            clusters.append(letter)
    return clusters


def _short(token: str) -> str:
    token = token.strip() or SPACE
    return token if len(token) <= LONGEST else token[: LONGEST - 1] + "…"


def _letters(token: str) -> int:
    """Width of a token in letters; those of East Asia have two."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in token)
