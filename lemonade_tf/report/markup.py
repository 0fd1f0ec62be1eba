"""The HTML of the pages of a report."""

from __future__ import annotations

import html
from collections.abc import Sequence

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } img { max-width: 100% }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #ddd }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left }
td:not(:last-child) { white-space: nowrap }
""".strip()


def html_page(title: str, body: str, style: str = "") -> str:
    """Return an HTML page.

    Args:
        title: Its title, as text; also its first heading.
        body: What follows the heading, as HTML.
        style: Rules in addition to those of all pages, as CSS.
    """
    title = html.escape(title)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<style>{_STYLE}{style}</style><h1>{title}</h1>{body}</html>\n"
    )


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table of text."""
    cells = "".join(f"<th>{html.escape(text)}</th>" for text in header)
    lines = "".join(
        "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{cells}</tr>{lines}</table>"
