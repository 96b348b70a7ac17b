"""Reading a setup file: YAML 1.2, checked, every fault told with its line and field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from alerting.setup.schema import Setup
from alerting.setup.twice import Place, Twice, named_twice


class SetupError(Exception):
    """The file cannot be applied. Its text has one line for each fault."""


@dataclass(frozen=True, slots=True)
class Document:
    """A checked setup file that still knows the line of each field."""

    path: Path
    setup: Setup
    root: Any

    def fault(self, place: Place, what: str) -> SetupError:
        """An error that names file, line and field."""
        return SetupError(_fault_line(self.path, self.root, place, what))


def read_document(path: Path) -> Document:
    """Read and check `path`. Raises `SetupError`."""
    try:
        root = YAML(typ="rt", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SetupError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SetupError(f"{path}: is not UTF-8 text") from error
    except MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f":{error.problem_mark.line + 1}"
        raise SetupError(f"{path}{line}: not YAML: {error.problem}") from error
    if not isinstance(root, CommentedMap):
        raise SetupError(f"{path}: expected sections such as organisations, users, areas, rules")
    try:
        setup = Setup.model_validate(_plain(root))
    except ValidationError as fault:
        raise SetupError("\n".join(_explain(path, root, fault))) from None
    if twice := list(named_twice(setup)):
        raise SetupError("\n".join(_said_twice(path, root, each) for each in twice))
    return Document(path=path, setup=setup, root=root)


def _said_twice(path: Path, root: Any, found: Twice) -> str:
    first = _line(root, found.first)
    return _fault_line(path, root, found.second, f"{found.what} stands at line {first} already; each may stand once")


def _plain(node: Any) -> Any:
    """The document without ruamel's own types."""
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    if isinstance(node, float):
        return float(node)
    if isinstance(node, bool) or node is None:
        return node
    return int(node) if isinstance(node, int) else str(node) if isinstance(node, str) else node


def _explain(path: Path, root: Any, fault: ValidationError) -> Iterable[str]:
    seen = set()
    for error in fault.errors():
        place = _within(root, error["loc"])
        what = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            what = "is not a known field"
        elif error["type"] == "missing":
            what = "is missing"
        line = _fault_line(path, root, place, what)
        if line not in seen:
            seen.add(line)
            yield line


def _within(root: Any, location: Sequence[str | int]) -> Place:
    """The part of pydantic's location that is the file's own: it also names the branches of a union."""
    node, place = root, []
    for number, step in enumerate(location):
        last = number == len(location) - 1
        known = (isinstance(node, CommentedMap) and (step in node or last)) or (
            isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node)
        )
        if known:
            place.append(step)
            node = node[step] if not (isinstance(node, CommentedMap) and step not in node) else None
    return tuple(place)


def _fault_line(path: Path, root: Any, place: Place, what: str) -> str:
    field = "".join(f"[{step + 1}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
    return f"{path}:{_line(root, place)}: {field or 'file'}: {what}"


def _line(root: Any, place: Place) -> int:
    """The line of a field, or of the nearest thing around it that has one, counted from 1."""
    node: Any = root
    line = 1
    for step in place:
        if not isinstance(node, (CommentedMap, CommentedSeq)):
            break
        try:
            if isinstance(node, CommentedMap):
                line = node.lc.key(step)[0] + 1
            elif isinstance(node, CommentedSeq):
                line = node.lc.item(step)[0] + 1
            node = node[step]
        except (KeyError, IndexError, TypeError):
            break
    return line
