"""An evaluation as one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape

from headrace.registry.evaluating import Evaluation
from headrace.registry.scores import LOWER_IS_BETTER

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1b1b; background: #fff }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin-top: 2rem }
p.what { color: #555; margin-top: .25rem }
table { border-collapse: collapse } th, td { padding: .35rem .9rem; text-align: right }
th:first-child, td:first-child { text-align: left } thead th { border-bottom: 2px solid #888 }
tbody tr + tr td { border-top: 1px solid #ddd } td.best { font-weight: 700 }
td.best::after { content: " \\2605"; color: #0072B2 } td.none { color: #999 }
img { max-width: 100%; height: auto } li { margin: .2rem 0 }
"""


def render(evaluation: Evaluation, plot: bytes, *, name: str = "") -> str:
    """The page.

    Args:
        evaluation: What to show.
        plot: PNG to show below the table.
        name: The registered model's name, for the title.
    """
    title = f"Evaluation of {name}" if name else f"Evaluation: {evaluation.target}"
    image = base64.b64encode(plot).decode()
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            f"<h1>{escape(title)}</h1>",
            f'<p class="what">{escape(_description(evaluation))}</p>',
            *_table(evaluation),
            *_notes(evaluation),
            "<h2>Plots</h2>",
            f'<img alt="{escape(_description(evaluation))}" src="data:image/png;base64,{image}">',
            "</body>\n</html>\n",
        ]
    )


def _description(evaluation: Evaluation) -> str:
    return (
        f"{evaluation.task.capitalize()} target {evaluation.target}, measured on "
        f"{len(evaluation.truth):,} held-out rows."
    )


def _table(evaluation: Evaluation) -> Iterator[str]:
    names = list(dict.fromkeys(name for one in evaluation.contenders for name in one.figures))
    best = {name: _best(evaluation, name) for name in names}
    heads = "".join(
        f"<th>{escape(name)}{' &darr;' if name in LOWER_IS_BETTER else ' &uarr;'}</th>"
        for name in names
    )
    yield "<h2>Figures</h2>"
    yield f"<table>\n<thead><tr><th></th>{heads}</tr></thead>\n<tbody>"
    for one in evaluation.contenders:
        cells = "".join(_cell(one.figures.get(name), best[name]) for name in names)
        yield f"<tr><td>{escape(one.label)}</td>{cells}</tr>"
    yield "</tbody>\n</table>"
    legend = "&uarr; more is better, &darr; less is better; &#9733; the best of all."
    yield f'<p class="what">{legend}</p>'


def _best(evaluation: Evaluation, name: str) -> float | None:
    values = [one.figures[name] for one in evaluation.contenders if name in one.figures]
    if len(evaluation.contenders) < 2:
        return None
    return min(values) if name in LOWER_IS_BETTER else max(values)


def _cell(value: float | None, best: float | None) -> str:
    if value is None:
        return '<td class="none">&ndash;</td>'
    return f"<td{' class=best' if value == best else ''}>{value:.4f}</td>"


def _notes(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.notes:
        items = "".join(f"<li>{escape(note)}</li>" for note in evaluation.notes)
        yield f"<h2>Notes</h2>\n<ul>{items}</ul>"
