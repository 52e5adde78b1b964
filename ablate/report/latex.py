r"""Text and tables as LaTeX that any engine compiles: whatever a label holds, it is only text.

Needs `\usepackage{booktabs}` and nothing else. Letters that pdfLaTeX has no glyph for are printed
as they are by LuaLaTeX and XeLaTeX, and by their code point elsewhere.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

# Brackets and stars would be read as arguments of the line break before a row's first cell.
_ASCII = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"{\char34}",
    "`": "{`}", "[": "{[}", "]": "{]}", "*": "{*}",
}  # fmt: skip
_SIGNS = {
    "–": "--", "—": "---", "−": "$-$", "‘": "{`}", "’": "{'}", "“": "{``}", "”": "{''}",
    "…": r"\ldots{}", "±": r"$\pm$", "×": r"$\times$", "·": r"$\cdot$", "°": r"$^{\circ}$",
    "²": "$^2$", "³": "$^3$", "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "≈": r"$\approx$",
    "∞": r"$\infty$", "→": r"$\rightarrow$", "←": r"$\leftarrow$", "↑": r"$\uparrow$",
    "↓": r"$\downarrow$", "★": r"$\star$", "½": r"$\frac12$", "§": r"\S{}", "ß": r"\ss{}",
    "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}",
    "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}",
}  # fmt: skip
_GREEK = frozenset("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ")  # the others look like Latin letters
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u",
    "\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip
_OTHER = "\\ablateletter"
_LETTER = f"\\providecommand{{{_OTHER}}}[2]{{\\ifdefined\\Umathcode #1\\else\\texttt{{U+#2}}\\fi}}"


@dataclass(frozen=True, kw_only=True)
class Table:
    r"""One `table` of LaTeX; all of its strings are LaTeX already.

    Attributes:
        label: for `\ref`.
        caption: what it shows, above it.
        columns: how each is set: `l`, `r` or `c`.
        head: header rows.
        groups: rows, with a rule between the groups.
        notes: below it, a sentence each.
    """

    label: str
    caption: str
    columns: str
    head: Sequence[Sequence[str]]
    groups: Sequence[Sequence[Sequence[str]]]
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        body = "\n\\midrule\n".join(_rows(group) for group in self.groups if group)
        parts = [
            r"\begin{table}[tbp]",
            r"\centering",
            rf"\caption{{{self.caption}}}",
            rf"\label{{{self.label}}}",
            r"\footnotesize\setlength{\tabcolsep}{4pt}",
            rf"\begin{{tabular}}{{@{{}}{self.columns}@{{}}}}",
            r"\toprule",
            _rows(self.head),
            r"\midrule",
            body,
            r"\bottomrule",
            r"\end{tabular}",
            *_below(self.notes),
            r"\end{table}",
        ]
        return "\n".join(part for part in parts if part) + "\n"


def document(tables: Sequence[Table], about: str) -> str:
    r"""Tables as one file to be read with `\input`.

    Args:
        tables: in their order.
        about: one line, for a comment at the top.
    """
    text = "\n".join(str(table) for table in tables)
    head = ["% " + " ".join(about.split()), r"% Needs \usepackage{booktabs}."]
    head += [_LETTER] if _OTHER in text else []
    return "\n".join(head) + "\n" + text


def escaped(text: str) -> str:
    """Any text as LaTeX that prints it on one line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = unicodedata.normalize("NFC", line)
    # Pairs of these would be drawn as one sign: -- as a dash, '' as a quotation mark.
    return "".join(
        "{}" * (c == before and c in "-',") + _letter(c)
        for before, c in zip(" " + line, line, strict=False)
    )


def bold(latex: str) -> str:
    """LaTeX in bold."""
    return rf"\textbf{{{latex}}}"


def underlined(latex: str) -> str:
    """LaTeX with a line below it."""
    return rf"\underline{{{latex}}}"


def raised(latex: str) -> str:
    """LaTeX as a mark that a note explains."""
    return rf"\textsuperscript{{{latex}}}"


def _letter(c: str) -> str:
    if c in _SIGNS:
        return _SIGNS[c]
    if c.isascii():
        return _ASCII.get(c, c)
    if c in _GREEK:
        name = unicodedata.name(c).rpartition(" ")[2].lower().replace("lamda", "lambda")
        return rf"$\{name.capitalize() if c.isupper() else name}$"
    base, *marks = list(unicodedata.normalize("NFD", c))
    if base.isascii() and base.isalpha() and len(marks) == 1 and marks[0] in _ACCENTS:
        above = marks[0] != "\u0327"
        return rf"\{_ACCENTS[marks[0]]}{{{_dotless(base) if above else base}}}"
    return rf"{_OTHER}{{{c}}}{{{ord(c):X}}}"


def _dotless(letter: str) -> str:
    return rf"\{letter}" if letter in "ij" else letter


def _rows(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(" & ".join(row) + r" \\" for row in rows)


def _below(notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    return ["", r"\smallskip", r"\begin{minipage}{\linewidth}\footnotesize", " ".join(notes),
            r"\end{minipage}"]  # fmt: skip
