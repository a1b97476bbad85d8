"""The URL of a store on a PostgreSQL server: whether it can be one, and what of it may be shown.

Passwords stand in such URLs, and parts of a mistyped one look like a host or a database: what is not clear is
refused, and nothing of it is shown. Pure text; what a URL means is for the database's own library.
"""

from __future__ import annotations

import re

_SCHEMES = ("postgresql://", "postgres://")
_URL = (  # patterns are compiled where there is such a URL: most projects have none
    r"postgres(?:ql)?://(?:(?P<user>[^@/]*)@)?(?P<hosts>[^/?#@]*)(?:/(?P<database>[^/?#@]*))?(?:\?(?P<query>[^?#@]*))?"
)
_HOSTS = r"(?:(?:[^:,\[\]]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?(?:,|\Z))*"
_PAIR = r"[A-Za-z_]+=.*"
_NO_ESCAPE = r"%(?!(?!00)[0-9A-Fa-f]{2})"
_SECRET = ("password", "sslpassword")
_SHOWN = ("host", "hostaddr", "port", "dbname", "service")

HOW = "it is written postgresql://USER@HOST:5432/DATABASE; what is no letter or digit in a name or password as %XX"


def is_database(text: str) -> bool:
    """Whether a text is meant as the URL of a PostgreSQL store."""
    return text.startswith(_SCHEMES)


def fault(text: str) -> str | None:
    """What is wrong with the URL, without a word of it; None where nothing is."""
    url = re.fullmatch(_URL, text)
    if url is None or not text.isprintable() or " " in text:
        return "this is no URL of a PostgreSQL database"
    if re.search(_NO_ESCAPE, text):
        return "a % in the URL of a PostgreSQL database begins no %XX"
    if not re.fullmatch(_HOSTS, url["hosts"]):
        return "the URL of a PostgreSQL database has no HOST or HOST:PORT"
    if not all(re.fullmatch(_PAIR, pair) for pair in _pairs(url)):
        return "the URL of a PostgreSQL database has no NAME=VALUE after its ?"
    return None


def has_password(text: str) -> bool:
    """Whether the URL itself tells a password."""
    url = re.fullmatch(_URL, text)
    return url is not None and (":" in (url["user"] or "") or any(_name(pair) in _SECRET for pair in _pairs(url)))


def shown(text: str) -> str:
    """The URL with host, port and database alone; nothing but its scheme where it is wrong."""
    url = re.fullmatch(_URL, text)
    if url is None or fault(text):
        return "postgresql://"
    kept = "&".join(pair for pair in _pairs(url) if _name(pair) in _SHOWN)
    return f"postgresql://{url['hosts']}/{url['database'] or ''}" + (f"?{kept}" if kept else "")


def _pairs(url: re.Match[str]) -> list[str]:
    return url["query"].split("&") if url["query"] else []


def _name(pair: str) -> str:
    return pair.partition("=")[0]
