"""Find every error message of the program, and keep the troubleshooting pages in step with them.

    python -m docs.messages

prints what differs, after it has taken over messages that were only reworded. A message without a cause is added to its
page for somebody to write the cause. `tests/unit/test_messages.py` fails until all is in step.

A message is a template: what is only known at run time is an ellipsis.
"""

import ast
import difflib
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from docs.causes import Entry, read_pages

__all__ = ["ADVICE", "constants_of", "find_messages", "page_of", "python_messages", "shell_messages", "templates"]

ROOT = Path(__file__).parents[1]
ADVICE = "run python -m docs.messages, and write the causes that it asks for"

# Which page knows the messages of which files; the first prefix that fits.
_PAGE_OF = (
    ("mesh/config/", "stack-file"),
    ("mesh/component/deferred.py", "stack-file"),
    ("mesh/cli/importers/", "import"),
    ("mesh/wireguard/", "import"),
    ("mesh/cli/", "commands"),
    ("mesh/__main__.py", "commands"),
    ("mesh/doctor/", "commands"),
    ("mesh/remote/", "ssh"),
    ("mesh/rollout/verification.py", "verification"),
    ("mesh/rollout/kernel_differences.py", "verification"),
    ("mesh/rollout/", "rollout"),
    ("mesh/", "rollout"),
)
_HOST_PAGE = "host"
# Words of help, of the reference and of previews, which are no errors.
_NO_ERRORS = ("help", "description")
_PREVIEWS = ("mesh/plan/roster_diff.py", "mesh/keyring/", "mesh/config/schema.py", "mesh/config/patterns.py")
# What only a fault of ours raises, and no user sees.
_BUGS = ("AttributeError", "TypeError", "ValueError")
_TELLING = ("announce", "Accepts", "show", "_say", "say", "report", "print", "Text")
_SHELL = re.compile(r"&& |\|\| |; (then|fi|done)\b|; do echo|; echo\b|\$\?")
_SAID_BY_SHELL = re.compile(
    r"""echo "(?:\.error )?([^"]*; [^"]*)"|\.error ([^;]*\\; [^;]*);|echo '([^']*)' >&2|echo "([^"]*)" >&2"""
)
_LEAST_LETTERS = 6
_GAP = "…"
_ALIKE = 0.6


def _fixed(text: str) -> int:
    return len(re.sub(r"[^A-Za-z]", "", text))


def _one_line(text: str) -> str:
    # What is filled in by `format` stands in braces.
    text = re.sub(r"\{[a-z_]+\}", _GAP, re.sub(r"\\([;?])", r"\1", text))
    return re.sub(rf"{_GAP}+", _GAP, " ".join(text.split()))


def templates(node: ast.AST, constants: dict[str, str]) -> set[str]:
    """Return every text that an expression can be, `constants` known; nothing where it is no text."""
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.Name(id=name) if name in constants:
            return {constants[name]}
        case ast.JoinedStr(values=parts):
            choices = [templates(part, constants) or {_GAP} for part in parts]
            return {"".join(chosen) for chosen in product(*choices)}
        case ast.FormattedValue(value=value):
            return templates(value, constants)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            sides = (templates(left, constants), templates(right, constants))
            return {"".join(both) for both in product(*(side or {_GAP} for side in sides))} if any(sides) else set()
        case ast.IfExp(body=body, orelse=orelse):
            sides = (templates(body, constants), templates(orelse, constants))
            return {text for side in sides for text in side or {_GAP}} if any(sides) else set()
        case _:
            return set()


def constants_of(tree: ast.Module) -> dict[str, str]:
    """Return the constants of a module that are texts."""
    found: dict[str, str] = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and value is not None and len(texts := templates(value, found)) == 1:
            found[target.id] = texts.pop()
    return found


def _name(call: ast.Call) -> str:
    return str(getattr(call.func, "attr", getattr(call.func, "id", "")))


def _is_collected(node: ast.AST) -> bool:
    """Tell whether a statement keeps a failure for a report, such as `problems[host] = …`."""
    places = [target.value for target in getattr(node, "targets", ()) if isinstance(target, ast.Subscript)]
    return any(getattr(place, "attr", getattr(place, "id", "")) in ("problems", "failures") for place in places)


def _is_refusal(call: ast.Call) -> bool:
    """Tell whether a call answers a request of HTTP with another status than OK."""
    statuses = [word.attr for word in call.args if isinstance(word, ast.Attribute) and "HTTPStatus" in ast.dump(word)]
    return any(status != "OK" for status in statuses)


def python_messages(source: str) -> Iterator[str]:
    """Yield the messages of a module."""
    tree = ast.parse(source)
    constants = constants_of(tree)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module)
        and isinstance(node.body[0], ast.Expr)
    }

    raises = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    errors = {id(call) for call in raises if _name(call).endswith("Error") and _name(call) not in _BUGS}

    def visit(node: ast.AST, raised: bool) -> Iterator[str]:
        if id(node) in docstrings or (isinstance(node, ast.keyword) and node.arg in _NO_ERRORS):
            return
        if isinstance(node, ast.Call):
            if _name(node) in _TELLING:
                return
            # What is given to another function is a part of what that makes of it.
            raised = id(node) in errors or _name(node) in ("fault", "warn") or _is_refusal(node)
        raised = raised or _is_collected(node) or (isinstance(node, ast.keyword) and node.arg == "fault")
        texts = templates(node, constants)
        if not texts:
            # Keys are others' words that are looked for.
            for child in node.values if isinstance(node, ast.Dict) else ast.iter_child_nodes(node):
                yield from visit(child, raised)
        for text in sorted(texts):
            if not raised and _SHELL.search(text):
                yield from (re.sub(r"\$\w+", _GAP, "".join(said)) for said in _SAID_BY_SHELL.findall(text))
            elif "; " in text.lstrip("; ") or (raised and " " in text):
                yield text

    yield from visit(tree, raised=False)


def shell_messages(text: str) -> Iterator[str]:
    """Yield the messages of a part of the host program."""
    for said in re.findall(r"""\bfail "((?:[^"\\]|\\.)*)\"""", text):
        # Innermost first, since one substitution may be in another.
        plain, nested = said, 1
        while nested:
            plain, nested = re.subn(r"\$\([^()]*\)|\$\(\([^()]*\)\)", _GAP, plain)
        yield re.sub(r"\$\{[^}]*\}|\$[A-Za-z_0-9*@]+", _GAP, plain)

    # What awk works out, and `fail` says behind the name of an interface.
    for printed in re.findall(r"""\bprint ((?:"[^"]*"|[^";{}\n])*)""", text):
        said = re.sub(r"""("[^"]*")|[^"]+""", lambda part: part[1][1:-1] if part[1] else _GAP, printed)
        if "; " in said:
            yield said


def page_of(source: str) -> str:
    """Return the name of the page that knows the messages of a file, whose path is from the root."""
    return (
        _HOST_PAGE if source.endswith(".sh") else next(page for prefix, page in _PAGE_OF if source.startswith(prefix))
    )


def find_messages() -> dict[str, str]:
    """Return the page of every error message of the program, by message."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "mesh").rglob("*")):
        source = path.relative_to(ROOT).as_posix()
        if path.suffix not in (".py", ".sh") or source.startswith(_PREVIEWS):
            continue
        text = path.read_text(encoding="utf-8")
        texts = python_messages(text) if path.suffix == ".py" else shell_messages(text)
        for message in map(_one_line, texts):
            if _fixed(message) >= _LEAST_LETTERS:
                found.setdefault(message, page_of(source))
    return found


def main() -> None:
    """Bring the pages up to date as far as a program can, and say what is left."""
    messages, pages = find_messages(), read_pages()
    known = {message: (page, entry) for page in pages.values() for entry in page.entries for message in entry.messages}
    gone = [message for message in known if message not in messages]
    for message in [message for message in messages if message not in known]:
        close = difflib.get_close_matches(message, gone, n=1, cutoff=_ALIKE)
        if close and known[close[0]][0].path.stem == messages[message]:
            entry = known[close[0]][1]
            entry.messages[entry.messages.index(close[0])] = message
            gone.remove(close[0])
            print(f"reworded: {message}")  # noqa: T201
        else:
            pages[messages[message]].parts.append(Entry([message]))
            print(f"{messages[message]}.md needs a cause: {message}")  # noqa: T201
    for message in gone:
        page, entry = known[message]
        entry.messages.remove(message)
        if not entry.messages:
            page.parts.remove(entry)
        print(f"gone: {message}")  # noqa: T201
    for page in pages.values():
        page.path.write_text(page.text(), encoding="utf-8")


if __name__ == "__main__":
    main()
