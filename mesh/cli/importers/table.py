"""A table of text as spreadsheets and tools write it: columns by `,`, `;` or tab, cells with and without quotes."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mesh.errors import PlacedFault
from mesh.wireguard.text import MOST_CHARACTERS, read_text

__all__ = ["Table", "read_table"]


@dataclass
class Table:
    """The columns, and the lines by their place: cells by column, without those that are empty; and what is wrong."""

    columns: list[str] = field(default_factory=list)
    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    faults: list[PlacedFault] = field(default_factory=list)


def read_table(content: bytes | str, where: str, columns: Sequence[str], most: int) -> Table:
    """Return the table in `content`, whose `columns` are known in any case, and which has `most` lines at most.

    Raises:
        ConfigurationError: If it is no text, or too large.
    """
    text = read_text(content, where)
    known = {name.lower(): name for name in columns}
    # That by which most columns are known.
    delimiter = max(",;\t", key=lambda each: len(known.keys() & set(_first_line(text, each))))
    table = Table()
    try:
        for place, cells in _records(text, delimiter, where):
            if not table.columns:
                table.columns = [known.get(cell.lower(), "") for cell in cells]
                twice = {name for name in columns if table.columns.count(name) > 1}
                table.faults.extend(
                    PlacedFault(place, f"column {name} is there twice; take one of the two out") for name in twice
                )
            elif len(table.rows) == most:
                raise _TableError(
                    place, f"more than {most:,} lines, the most that is read; check that it is the right file"
                )
            else:
                table.rows[place] = _row(place, cells, table)
    except _TableError as error:
        table.faults.append(error.fault)
    return table


class _TableError(Exception):
    """What ends reading a table."""

    def __init__(self, place: str, words: str) -> None:
        super().__init__()
        self.fault = PlacedFault(place, words)


def _row(place: str, cells: list[str], table: Table) -> dict[str, str]:
    columns: Mapping[int, str] = dict(enumerate(table.columns))
    for number, cell in enumerate(cells):
        if cell and not columns.get(number):
            table.faults.append(PlacedFault(place, f"cell {number + 1} is in no column that is known; take it out"))
    return {name: cell for cell, name in zip(cells, table.columns, strict=False) if name and cell}


def _first_line(text: str, delimiter: str) -> list[str]:
    try:
        cells = next(csv.reader(io.StringIO(text[:MOST_CHARACTERS], newline=""), delimiter=delimiter), [])
    except csv.Error:
        return []
    return [cell.strip().lower() for cell in cells]


def _records(text: str, delimiter: str, where: str) -> Iterator[tuple[str, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        place = f"{where}:{reader.line_num + 1}"
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error:
            raise _TableError(place, "a quote or a line does not end as it should; write it again") from None
        if any(len(cell) > MOST_CHARACTERS for cell in cells):
            raise _TableError(
                place, f"a cell of more than {MOST_CHARACTERS:,} characters; check that it is the right file"
            )
        if any(cells):
            yield place, cells
