"""A small model of a terminal."""

import io
import re
from itertools import chain

TOKEN = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


class Screen(io.StringIO):
    """A terminal that breaks and reflows long lines, with endless height; keeps what is written to it."""

    encoding = "utf-8"

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.rows, self.row, self.column = width, [""], 0, 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        super().write(text)
        for parameter, command, control, printed in TOKEN.findall(text):
            if printed:
                self._print(printed)
            elif control == "\r":
                self.column = 0
            elif control == "\n":
                self._line_feed()
            elif command == "A":
                assert 0 < int(parameter) <= self.row, "the cursor leaves the top"
                self.row -= int(parameter)
            elif command == "K":
                assert parameter == "2"
                self.rows[self.row] = ""
            else:
                assert command == "m", f"unexpected sequence {parameter}{command}"
        return len(text)

    def _line_feed(self) -> None:
        self.row, self.column = self.row + 1, 0
        self.rows += [""] * (self.row + 1 - len(self.rows))

    def _print(self, text: str) -> None:
        for char in text:
            if self.column == self.width:
                self._line_feed()
            row = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = row[: self.column] + char + row[self.column + 1 :]
            self.column += 1

    def resize(self, width: int) -> None:
        above = [self._broken(row, width) for row in self.rows[: self.row]]
        below = [self._broken(row, width) for row in self.rows[self.row :]]
        self.rows = [*chain(*above), *chain(*below)]
        self.row, self.width = sum(map(len, above)), width

    @staticmethod
    def _broken(row: str, width: int) -> list[str]:
        return [row[start : start + width] for start in range(0, max(len(row), 1), width)]

    def visible(self) -> list[str]:
        return [row.rstrip() for row in self.rows if row.strip()]
