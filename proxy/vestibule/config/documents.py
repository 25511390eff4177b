"""Reads a YAML file into plain data and keeps the line of every setting in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    MappingStartEvent,
    NodeEvent,
)
from ruamel.yaml.nodes import MappingNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from vestibule.config.wording import shown
from vestibule.core.errors import Problem

MAX_FILE = 1 << 20
"""A configuration file larger than this many bytes is refused unread."""

MAX_SETTINGS = 100_000
"""A file of more settings is refused; a few lines of aliases of aliases can stand for billions."""

MAX_DEPTH = 50
"""A file with settings in settings beyond this depth is refused; ours go six deep."""

SettingPath = tuple[str | int, ...]
_TEXT = "tag:yaml.org,2002:str"
_SURROGATE = re.compile("[\ud800-\udfff]")


class Document(NamedTuple):
    """A parsed file: plain data, and the line of every setting in it. above: where what it leaves out is written."""

    file: str
    data: dict[str, Any]
    lines: Mapping[SettingPath, int]
    above: Document | None = None

    def line(self, path: SettingPath) -> int:
        """The line of a setting, or of the nearest one around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return 1

    def places(self) -> dict[SettingPath, tuple[str, int]]:
        """File and line of every setting."""
        inherited = self.above.places() if self.above is not None else {}
        return inherited | {path: (self.file, line) for path, line in self.lines.items()}


def read(path: Path, problems: list[Problem], *, optional: bool = False) -> Document:
    file = str(path)
    empty = Document(file, {}, {})
    try:
        if path.stat().st_size > MAX_FILE:
            problems.append(Problem(file, 0, path.stem, f"is larger than {MAX_FILE} bytes"))
            return empty
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if not optional:
            problems.append(Problem(file, 0, path.stem, "no such file; docs/configuration.md shows one"))
        return empty
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        problems.append(Problem(file, line, path.stem, "is not UTF-8 text"))
        return empty
    except OSError as error:
        problems.append(Problem(file, 0, path.stem, f"cannot be read: {error.strerror}"))
        return empty
    try:
        data = _yaml().load(text)
    except _DeepError as error:
        problems.append(Problem(file, error.line, path.stem, str(error)))
        return empty
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(str(error.problem or error.context or "cannot be parsed").split())
        problems.append(Problem(file, (mark.line + 1) if mark else 1, path.stem, f"is not YAML: {words}"))
        return empty
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problems.append(Problem(file, line, path.stem, f"is not YAML: holds the character U+{error.character:04X}"))
        return empty
    except Exception as error:  # not YAMLError alone: the reader stumbles over a key that holds a list, say
        words = "holds a key or a value that cannot be read"
        if isinstance(error, YAMLError | ValueError):
            words = str(error).strip().partition("\n")[0] or type(error).__name__
        line = 1 if isinstance(error, YAMLError) else _unreadable(text)
        problems.append(Problem(file, line, path.stem, f"is not YAML: {words}"))
        return empty
    if data is None:
        if not optional:
            problems.append(Problem(file, 1, path.stem, "is empty; docs/configuration.md shows one"))
        return empty
    if not isinstance(data, CommentedMap):
        problems.append(Problem(file, 1, path.stem, f"must hold settings (key: value), not {shown(data)}"))
        return empty
    lines: dict[SettingPath, int] = {}
    try:
        document = Document(file, _plain(data, (), lines), lines)
    except (_DeepError, _OddError) as error:
        problems.append(Problem(file, error.line, path.stem, str(error)))
        return empty
    except _TooManyError:
        problems.append(Problem(file, 1, path.stem, f"holds more than {MAX_SETTINGS} settings"))
        return empty
    for setting, value in scalars(document.data):
        if any(_SURROGATE.search(part) for part in (*map(str, setting), value) if isinstance(part, str)):
            name = ".".join(map(str, setting)).encode("ascii", "backslashreplace").decode()
            problems.append(Problem(file, document.line(setting), name, "holds half a character (a lone surrogate)"))
    return document


class _DeepError(YAMLError):
    """Nested more deeply than anybody writes; from this line on."""

    def __init__(self, line: int) -> None:
        super().__init__(f"is nested more than {MAX_DEPTH} deep")
        self.line = line


class _Shallow(Composer):
    """Composes no node that is nested too deeply."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self._depth > MAX_DEPTH:
            raise _DeepError(self.parser.peek_event().start_mark.line + 1)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.Composer = _Shallow
    return yaml


def may_set(path: Path, setting: str) -> bool:
    """Whether a file may hold a setting of this name, told without parsing it: it holds the name, or an escape
    that may stand for a part of it, each of which begins with a backslash."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1)
    except OSError:
        return False
    return setting.encode() in text or b"\\" in text


def scalars(value: object, path: SettingPath = ()) -> Iterator[tuple[SettingPath, object]]:
    """Every single value of a document's data, with the path of its setting."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from scalars(below, (*path, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from scalars(below, (*path, index))
    else:
        yield path, value


def _unreadable(text: str) -> int:
    """The line of the value that is none of its kind, such as a day in a thirteenth month; else of the first key that
    is no single value; 1 where neither is found."""
    try:
        nodes = [_yaml().compose(text)]
    except Exception:  # it is not even told what there is
        return 1
    seen: set[int] = set()
    while nodes:
        node = nodes.pop()
        if id(node) in seen:  # an alias; it may stand in what it stands for
            continue
        seen.add(id(node))
        if isinstance(node, MappingNode):
            nodes += [each for pair in reversed(node.value) for each in reversed(pair)]
        elif isinstance(node, SequenceNode):
            nodes += reversed(node.value)
        elif node.tag is None or str(node.tag) != _TEXT:
            try:
                _yaml().load(text[node.start_mark.index : node.end_mark.index])
            except YAMLError:
                continue
            except Exception:  # as above, of this value
                return int(node.start_mark.line) + 1
    return next(_odd_keys(text), 1)


def _odd_keys(text: str) -> Iterator[int]:
    """The lines of the keys that are no single values, or are aliases of such."""
    odd: set[str] = set()
    inside: list[bool | None] = []  # of each that is open, whether a key comes next; None in a list
    for event in _yaml().parse(text):
        if isinstance(event, CollectionEndEvent):
            inside.pop()
        if not isinstance(event, NodeEvent):
            continue
        is_key = bool(inside and inside[-1])
        if inside and inside[-1] is not None:
            inside[-1] = not inside[-1]
        begins = isinstance(event, CollectionStartEvent)
        if is_key and (begins or (isinstance(event, AliasEvent) and event.anchor in odd)):
            yield int(event.start_mark.line) + 1
        if begins:
            odd.add(event.anchor)
            inside.append(True if isinstance(event, MappingStartEvent) else None)


class _TooManyError(Exception):
    """More settings than anybody writes."""


class _OddError(Exception):
    """A value, on this line, of a kind that no setting has: what reads settings may take it for something else."""

    def __init__(self, line: int) -> None:
        super().__init__("holds a value of a kind that no setting has, or a number that is too long")
        self.line = line


def _plain(node: Any, path: SettingPath, lines: dict[SettingPath, int]) -> Any:
    """Plain data from ruamel's nodes; fills ``lines`` (counted from 1)."""
    if len(lines) > MAX_SETTINGS:
        raise _TooManyError
    if len(path) > MAX_DEPTH:  # by aliases of aliases
        raise _DeepError(lines.get(path[:1], 1))
    if isinstance(node, CommentedMap):
        for key in node:
            if _is_long(key):
                raise _OddError(_near(path, lines))
            position = node.lc.data.get(key) if node.lc.data else None
            if position is not None:
                lines[(*path, str(key))] = position[0] + 1
        return {str(key): _plain(value, (*path, str(key)), lines) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            position = node.lc.data.get(index) if node.lc.data else None
            if position is not None:
                lines[(*path, index)] = position[0] + 1
        return [_plain(value, (*path, index), lines) for index, value in enumerate(node)]
    if isinstance(node, bool | date) or node is None:
        return node
    for kind in (str, int, float):
        if isinstance(node, kind) and not _is_long(node):
            return kind(node)
    raise _OddError(_near(path, lines))


def _is_long(value: object) -> bool:
    """Whether a number is longer than any setting's; Python does not write down the longest."""
    return isinstance(value, int) and value.bit_length() > 64


def _near(path: SettingPath, lines: Mapping[SettingPath, int]) -> int:
    return Document("", {}, lines).line(path)
