"""A YAML file that is changed in place: what its values are, and how it was written, which stays."""

import codecs
import io
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError
from ruamel.yaml.util import load_yaml_guess_indent

from mesh.cli.yaml_comments import Comments
from mesh.config.hosts_file import NO_VALUES
from mesh.errors import MeshError

__all__ = ["YamlText"]

# Marks of the beginning and the end of a document, with the comments beyond; the library would drop them.
_BEGINNING = re.compile(r"\A(?:(?:#.*)?\n)*---[ \t]*(?:#.*)?\n")
_END = re.compile(r"^\.\.\.[ \t]*(?:#.*)?\n(?:(?:#.*)?\n)*\Z", re.MULTILINE)
_COMMENTS = re.compile(r"^[ \t]*(?:#.*)?\n", re.MULTILINE)


class YamlText:
    """The values of a text as `content`; comments, order, quotes, indentation and line ends stay as they are."""

    def __init__(self, raw: bytes, name: str) -> None:
        """Read the text of the file `name`.

        Raises:
            MeshError: If it is no YAML; what stands there is not repeated, since it may be a key.
        """
        self._mark = codecs.BOM_UTF8 if raw.startswith(codecs.BOM_UTF8) else b""
        try:
            text = raw.removeprefix(self._mark).decode()
        except UnicodeDecodeError:
            raise MeshError(f"{name}: is not written in UTF-8; have your editor save it so") from None
        self._line_end = "\r\n" if "\r\n" in text and "\n" not in text.replace("\r\n", "") else "\n"
        text = text.replace("\r\n", "\n")
        text += "" if text.endswith("\n") or not text else "\n"
        found = _BEGINNING.match(text)
        self._beginning = found.group() if found else ""
        body = text.removeprefix(self._beginning)
        last = _END.search(body)
        self._end = last.group() if last else ""
        self._name = name
        self.content: Any = None
        self._read(body.removesuffix(self._end))

    def _read(self, body: str) -> None:
        self._body = body
        self._yaml = YAML()
        self._yaml.preserve_quotes = True
        self._yaml.width = 2**16
        try:
            _, indent, offset = load_yaml_guess_indent(body)
            self.content = self._yaml.load(body)
        except DuplicateKeyError as error:
            raise MeshError(f"{self._name}: has a key twice; take it out of {self._line(error)}") from None
        except (YAMLError, *NO_VALUES) as error:
            raise MeshError(f"{self._name}: cannot be read as YAML; correct {self._line(error)}") from None
        self._comments = Comments(self.content)
        steps = Counter(_steps(self.content, set()))
        self._yaml.indent(mapping=steps.most_common(1)[0][0] if steps else 2, sequence=indent or 2, offset=offset or 0)

    def _line(self, error: Exception) -> str:
        mark = getattr(error, "problem_mark", None)
        if mark is None:
            return "it"
        # What is missing at the end is missed in a line after the last one.
        last = self._beginning.count("\n") + min(mark.line + 1, max(self._body.count("\n"), 1))
        return f"line {last}"

    def begin(self, line: str) -> None:
        """Put a comment, with its end, before everything else, unless the whole is in braces."""
        if self.content is None:
            # There may be comments in it, which belong to nothing yet.
            self._read(f"{line}{''.join(_COMMENTS.findall(self._body))}config:\n")
        elif not self.content.fa.flow_style():
            self._beginning, body = (f"{line}{self._beginning}", self._body) if self._beginning else ("", "")
            self._read(body or f"{line}{self._body}")

    def dump(self) -> bytes:
        """Return the text with the values as they are now."""
        stream = io.StringIO()
        self._comments.settle()
        self._yaml.dump(self.content, stream)
        text = f"{self._beginning}{stream.getvalue()}{self._end}"
        return self._mark + text.replace("\n", self._line_end).encode()


def _steps(node: Any, seen: set[int]) -> Iterator[int]:
    """Yield how much deeper each mapping is than the one that it stands in."""
    if not isinstance(node, CommentedMap) or id(node) in seen:
        return
    # An alias makes a graph of it, and may make a circle.
    seen.add(id(node))
    for value in node.values():
        if isinstance(value, CommentedMap) and not value.fa.flow_style() and value and value.lc.col is not None:
            yield max(value.lc.col - node.lc.col, 1)
            yield from _steps(value, seen)
