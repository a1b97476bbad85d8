"""Masking: a text without the values of secrets, in the forms in which values usually turn up.

Forms are the value itself, its long lines, the password of a URL, and these in base64 (wherever it stands in a larger
text, line breaks and all), hexadecimal, and as URLs, Python, JSON, HTML, SQL, CSV and shells write them. What is found
becomes `[secret NAME]`, which does not tell how long it was. Escape sequences of terminals may stand within a value:
whoever shows a text without its colours would put it together again. A value that is cut, spelt or computed upon is
not found: a net, not a wall.
Must not know where texts come from.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

SHORTEST = 4
"""Characters of the shortest value that is masked: a shorter one stands in too many texts by chance."""
SHORTEST_PART = 8
"""The same for what is only a part of a value, and for base64 inside a larger text."""
MOST_LINES = 1_000
"""Lines of a value that are masked each by itself."""

_ANCHOR = 4
"""First characters of a form, by which it is looked for; what begins with them is compared with the whole form."""
_BREAK = re.compile(r"(?:\r?\n[ \t]{0,16}|\\r\\n|\\n)")
"""What may stand between the characters of base64 behind the anchor: a line break, also as a literal writes it."""
_SEQUENCE = r"\x1b(?:\[[0-?]{0,99}[ -/]{0,99}[@-~]|\][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)|[ -/]{0,99}[0-Z\\^-~])"
_ESCAPE = re.compile(_SEQUENCE)
_HALF_ESCAPE = re.compile(r"\x1b(?:\[[0-?]{0,99}[ -/]{0,99}|\][^\x07\x1b]{0,2000}\x1b?|[ -/]{0,99})\Z")
_PIECE = re.compile(f"{_SEQUENCE}|{_HALF_ESCAPE.pattern}|(?P<char>.)", re.DOTALL)
"""Escape sequences, whole and cut through by the end of a text, and everything else."""
_WRITTEN = re.compile(r"\\(?:u00|x)(?:1[bB]|07)|\\033")
"""How literals write the character with which they begin, and the one with which some end."""
_LONGEST_RUN = 4_096
"""Characters of escape sequences that may stand between two characters of a value."""
_MOST_PATTERNS = 100
_HALF_BREAK = re.compile(r"(?:\r|\\|\\r|\\r\\)\Z")
_BINARY = re.compile(r"(?:image/(?!svg)|audio/|video/|font/|application/(?:pdf|octet-stream|zip)\b)")
_LONGEST_CUT = 4_096

_HTML = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))
_REPLACEMENTS = (
    _HTML,
    (*_HTML, ('"', "&quot;")),
    (*_HTML, ('"', "&quot;"), ("'", "&#x27;")),
    (*_HTML, ('"', "&#34;"), ("'", "&#39;")),
    (("'", "''"),),
    (('"', '""'),),
    (("'", "'\"'\"'"),),
)
"""What is written for some characters: HTML in its dialects, SQL, CSV, and the shell."""

_NO, _PERHAPS = 0, -1
"""What a form says of a place, besides where it ends there: no, and that the text ends too early to tell."""


@dataclass(frozen=True, slots=True)
class _Form:
    """One way in which a value may stand in a text; `broken`: with breaks in it."""

    text: str
    name: str
    broken: bool = False

    def end(self, text: str, start: int, *, escapes: bool) -> int:
        """Where the form ends that begins at `start`, _NO or _PERHAPS; `escapes`: there are some in the text."""
        if text.startswith(self.text, start):
            return start + len(self.text)
        if self.broken or escapes:
            return self._end_with_breaks(text, start)
        is_short = len(text) - start < len(self.text)
        return _PERHAPS if is_short and self.text.startswith(text[start:]) else _NO

    def _end_with_breaks(self, text: str, start: int) -> int:
        at = start
        for index, char in enumerate(self.text):
            if text[at : at + 1] != char:
                at = self._behind_breaks(text, at, index)
            if text[at : at + 1] != char:
                is_half = self._may_break(index) and _HALF_BREAK.match(text, at)
                return _PERHAPS if at == len(text) or is_half or _HALF_ESCAPE.match(text, at) else _NO
            at += 1
        return at

    def _behind_breaks(self, text: str, start: int, index: int) -> int:
        """Behind the escape sequences that begin there, and the line break before, among or after them."""
        at, has_broken = start, not self._may_break(index)
        while at - start <= _LONGEST_RUN:
            found = _ESCAPE.match(text, at)
            if found is None and not has_broken:
                found, has_broken = _BREAK.match(text, at), True
            if found is None:
                break
            at = found.end()
        return at

    def _may_break(self, index: int) -> bool:
        return self.broken and index >= _ANCHOR


class _Matcher:
    """Finds forms in a text: leftmost first, of those at one place the longest."""

    def __init__(self, forms: Iterable[_Form]) -> None:
        self.forms = sorted(forms, key=lambda form: (-len(form.text), form.name))
        self._at: dict[str, list[_Form]] = {}
        for form in self.forms:
            self._at.setdefault(form.text[:_ANCHOR], []).append(form)
        self._beginnings = {anchor[:length] for anchor in self._at for length in range(1, _ANCHOR)}
        self._patterns: dict[tuple[bool, tuple[str, ...]], re.Pattern[str]] = {}

    def scan(self, text: str, *, is_whole: bool, names: set[str] | None = None) -> tuple[str, str]:
        """The text masked, and its end from where a form may have begun; nothing is kept back of a whole text."""
        parts: list[str] = []
        done = at = 0
        pattern = self._pattern(text)
        while pattern is not None and (found := pattern.search(text, at)) is not None:
            start = found.start()
            end, name = self._match(found, is_whole=is_whole)
            if end == _PERHAPS:
                parts.append(text[done:start])
                return "".join(parts), text[start:]
            if end == _NO:
                at = start + 1
                continue
            parts += (text[done:start], replacement(name))
            at = done = end
            if names is not None:
                names.add(name)
        last = len(text) if is_whole else self._last_beginning(text, done)
        parts.append(text[done:last])
        return "".join(parts), text[last:]

    def _pattern(self, text: str) -> re.Pattern[str] | None:
        """What finds the anchors that the text has at all: of many anchors, few are in it, and a pattern is slow."""
        escapes = "\x1b" in text
        bare = _ESCAPE.sub("", text) if escapes else text
        there = tuple(anchor for anchor in self._at if anchor in bare or (escapes and anchor in text))
        key = escapes, there
        if there and key not in self._patterns:
            if len(self._patterns) >= _MOST_PATTERNS:
                self._patterns.clear()
            between = f"(?:{_SEQUENCE})*" if escapes else ""
            self._patterns[key] = re.compile("|".join(between.join(map(re.escape, anchor)) for anchor in there))
        return self._patterns[key] if there else None

    def _last_beginning(self, text: str, done: int) -> int:
        """Where an anchor begins that the end of the text cuts through, else the end of the text.

        Never within an escape sequence, whole or not: without its beginning, its end would be taken for plain text.
        """
        last = range(max(done, len(text) - _ANCHOR + 1), len(text))
        cut = min((at for at in last if text[at:] in self._beginnings), default=len(text))
        if "\x1b" not in text:
            return cut
        pieces = list(_PIECE.finditer(text, max(done, len(text) - _LONGEST_RUN)))
        chars = [(piece.start(), piece[0]) for piece in pieces if piece["char"]][1 - _ANCHOR :]
        rests = ((at, "".join(char for _, char in chars[index:])) for index, (at, _) in enumerate(chars))
        cut = min([cut, *(at for at, rest in rests if rest in self._beginnings)])
        around = (piece.start() for piece in pieces if not piece["char"] and piece.start() < cut < piece.end())
        half = _HALF_ESCAPE.fullmatch(pieces[-1][0]) if pieces else None
        return min([cut, *around, *([pieces[-1].start()] if half else [])])

    def _match(self, found: re.Match[str], *, is_whole: bool) -> tuple[int, str]:
        text, start = found.string, found.start()
        escapes = "\x1b" in text
        for form in self._at.get(found[0]) or self._at.get(_ESCAPE.sub("", found[0]), []):
            end = form.end(text, start, escapes=escapes)
            if end > 0 or (end == _PERHAPS and not is_whole):
                return end, form.name
        return _NO, ""


class MaskedStream:
    """A text that comes in pieces. What could be the beginning of a value waits for the next piece.

    `found` are the names of the secrets whose values have been in it.
    """

    def __init__(self, matcher: _Matcher) -> None:
        self.found: set[str] = set()
        self._matcher = matcher
        self._rest = ""

    def feed(self, text: str) -> str:
        """What can be passed on now."""
        masked, self._rest = self._matcher.scan(self._rest + text, is_whole=False, names=self.found)
        return masked

    def end(self) -> str:
        """What was kept back; the stream may begin anew."""
        masked, _ = self._matcher.scan(self._rest, is_whole=True, names=self.found)
        self._rest = ""
        return masked


class Masker:
    """Masks the values of secrets, given by name. One without secrets leaves everything as it is.

    `unmasked` are the names of those that cannot be masked: too short, or a part of what stands for a value.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        marks = [replacement(name) for name in secrets]
        known = {
            name: value
            for name, value in sorted(secrets.items())
            if len(value) >= SHORTEST and not any(value in mark for mark in marks)
        }
        forms: dict[str, _Form] = {}
        for name, value in known.items():
            for form in _forms(name, value):
                forms.setdefault(form.text, form)
        self._all = _Matcher(forms.values())
        self._long = _Matcher(form for form in forms.values() if len(form.text) >= SHORTEST_PART)
        self._exact = {value: name for name, value in reversed(known.items())}
        self.unmasked = tuple(sorted(secrets.keys() - known.keys()))

    def __bool__(self) -> bool:
        """Whether there is anything to mask."""
        return bool(self._exact)

    def text(self, text: str) -> str:
        """A whole text, masked."""
        return self._all.scan(text, is_whole=True)[0]

    def end_of(self, text: str) -> str:
        """The end of a longer text, masked; its beginning may be the rest of a value that was cut through."""
        for form in self._all.forms:
            for length in range(min(len(form.text), len(text), _LONGEST_CUT), SHORTEST - 1, -1):
                if text.startswith(form.text[-length:]):
                    return replacement(form.name) + self.text(text[length:])
        return self.text(text)

    def data(self, value: Any, *, keys: bool = True, numbers: bool = False) -> Any:
        """A JSON value, masked: all texts in it, `keys` of objects too, and `numbers` that are a value.

        Numbers only where anything may stand in their place: those of a document's own shape have to stay numbers.
        """
        match value:
            case str() if type(value) is str:
                return self.text(value)
            case list() | tuple():
                return [self.data(item, keys=keys, numbers=numbers) for item in value]
            case Mapping():
                masked = ((key, self.data(item, keys=keys, numbers=numbers)) for key, item in value.items())
                return {self.text(key) if keys and isinstance(key, str) else key: item for key, item in masked}
            case bool():
                return value
            case int() | float() if numbers and (name := self._exact.get(str(value))) is not None:
                return replacement(name)
            case _:
                return value

    def bundle(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Display data by MIME type, masked. Images and other binary data only where chance is ruled out."""
        return {
            mime: self.binary(value)
            if isinstance(value, str) and _BINARY.match(mime)
            else self.data(value, numbers=True)
            for mime, value in data.items()
        }

    def binary(self, text: str) -> str:
        """Binary data in base64, masked only where chance is ruled out."""
        return self._long.scan(text, is_whole=True)[0]

    def stream(self, *, is_text: bool = True) -> MaskedStream:
        """A masked stream; one that is no text is masked only where chance is ruled out."""
        return MaskedStream(self._all if is_text else self._long)

    def names(self, value: Any) -> list[str]:
        """Names of the secrets whose values stand in a JSON value, sorted."""
        found: set[str] = set()
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for one in _with_escapes(text):
            self._all.scan(one, is_whole=True, names=found)
        return sorted(found)

    def find(self, data: bytes) -> list[str]:
        """Names of the secrets whose values stand in a file of any kind where chance is ruled out, sorted."""
        found: set[str] = set()
        for text in _with_escapes(data.decode("utf-8", "replace")):
            self._long.scan(text, is_whole=True, names=found)
        return sorted(found)

    def only(self, names: Collection[str]) -> Masker:
        """One that masks no other secrets than these."""
        return Masker({name: value for value, name in self._exact.items() if name in names})


def replacement(name: str) -> str:
    """What stands for the value of a secret."""
    return f"[secret {name}]"


def _with_escapes(text: str) -> Iterator[str]:
    """The text, and where it is a literal's, such as a JSON file's, also with escape sequences as they are."""
    yield text
    shown = _WRITTEN.sub(lambda found: "\x07" if found[0].endswith("07") else "\x1b", text)
    if shown != text:
        yield shown.replace("\x1b\\\\", "\x1b\\")


def _forms(name: str, value: str) -> Iterator[_Form]:
    parts = dict.fromkeys([value, *_passwords(value)])
    for part in parts:
        yield from (_Form(text, name) for text in _notations(part))
        yield from (_Form(text, name, broken=True) for text in _base64(part))
    for line in dict.fromkeys(value.splitlines()[:MOST_LINES]):
        if len(line.strip()) >= SHORTEST_PART:
            yield from (_Form(text, name) for text in dict.fromkeys([line.strip(), *_escaped(line.strip())]))


def _passwords(value: str) -> Iterator[str]:
    """The password of a URL: libraries take it out and tell it in messages."""
    try:
        password = urlsplit(value).password if "://" in value else None
    except ValueError:
        return
    for one in (password, unquote(password)) if password else ():
        if len(one) >= SHORTEST_PART:
            yield one


def _notations(text: str) -> Iterator[str]:
    data = text.encode("utf-8", "surrogatepass")
    yield text
    yield from _escaped(text)
    yield from (data.hex(), data.hex().upper())
    for quoted in (quote(data, safe=""), quote(data), quote_plus(data)):
        yield quoted
        yield re.sub(r"%..", lambda found: found[0].lower(), quoted)
    for pairs in _REPLACEMENTS:
        shown = text
        for char, written in pairs:
            shown = shown.replace(char, written)
        yield shown
    shown = json.dumps(text)[1:-1]
    yield shown.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _escaped(text: str) -> Iterator[str]:
    """As a literal of Python or JSON has it, alone and inside another literal."""
    once = {
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        repr(text)[1:-1],
        ascii(text)[1:-1],
        repr(text.encode("utf-8", "surrogatepass"))[2:-1],
    }
    once |= {_with_quotes_escaped(one) for one in once}
    twice = {json.dumps(one)[1:-1] for one in once} | {repr(one)[1:-1] for one in once}
    twice |= {_with_quotes_escaped(one) for one in twice}
    yield from sorted(once | twice)


def _with_quotes_escaped(text: str) -> str:
    """As it stands in a literal with single quotes: a literal by itself chooses quotes that need no escaping."""
    return text if "\\'" in text else text.replace("'", "\\'")


def _base64(text: str) -> Iterator[str]:
    """The whole encoding, and what is sure of it wherever the value begins in a larger text; both alphabets.

    Also without its first characters: where a line break stands among those, the rest of it is found.
    """
    data = text.encode("utf-8", "surrogatepass")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(data).decode("ascii")
        yield from dict.fromkeys([whole, whole.rstrip("=")])
        for before in range(3):
            shifted = encode(b"\0" * before + data).decode("ascii").rstrip("=")
            is_open = (before + len(data)) % 3 != 0
            sure = shifted[(0, 2, 3)[before] : -1 if is_open else None]
            yield from (sure[cut:] for cut in (0, _ANCHOR - 1) if len(sure) - cut >= SHORTEST_PART)
