"""Pages of a list: how many, after which entry, of what."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass

from bayesrca.errors import InvalidRequestError

_PAGE = 50
_LARGEST_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Page[W: str]:
    """Which entries of a list are asked for.

    Attributes:
        size: at most so many, 1 to 1000.
        before: only those of a lower number, which are older; None for all.
        words: what the list is narrowed by; a token is good for the same ones only.
    """

    size: int
    before: int | None
    words: tuple[W, ...]

    def token(self, last: int) -> str:
        """Return the token of the page that follows the entry of number `last`."""
        content = json.dumps([last, self.words])
        return base64.urlsafe_b64encode(content.encode()).decode()


def read_page[W: str](size: int, token: str, words: Sequence[W]) -> Page[W]:
    """Return what a request to list asks for.

    Args:
        size: its ``page_size``; 0 takes 50.
        token: its ``page_token``; empty for the first page.
        words: what it narrows the list by, in one order for all that mean the same.

    Raises:
        InvalidRequestError: a negative size, or a token that is none of ours or came with other
            words.
    """
    if size < 0:
        msg = f"page_size must be >= 0, got {size}"
        raise InvalidRequestError(msg, field="page_size")
    before = None
    if token:
        before, of = _decode(token)
        if of != tuple(words):
            msg = "page_token belongs to another list; repeat the filter it was made with"
            raise InvalidRequestError(msg, field="page_token")
    return Page(size=min(size or _PAGE, _LARGEST_PAGE), before=before, words=tuple(words))


def _decode(token: str) -> tuple[int, tuple[str, ...]]:
    try:
        before, words = json.loads(base64.urlsafe_b64decode(token.encode()))
        if isinstance(before, int) and 0 < before < 1 << 62:
            return before, tuple(map(str, words))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        pass
    msg = "page_token is none that this server gave out; begin with the first page"
    raise InvalidRequestError(msg, field="page_token")
