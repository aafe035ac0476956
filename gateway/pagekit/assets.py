"""The files the pages load: kept whole, packed once, addressed by a build number so that they never expire.

``/static/v-<build>/name`` may be kept for good, because another content means another build; ES modules
import each other by relative names and so stay within one build. ``/static/name`` is the same with an ETag.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import posixpath
import re
import threading
from dataclasses import dataclass
from pathlib import Path

from flask import Response

FOR_GOOD = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
PACKED = frozenset({".js", ".css", ".svg", ".json"})
IMPORT = re.compile(r"""\bfrom\s*["'](\.{1,2}/[^"']+)["']|\bimport\s*["'](\.{1,2}/[^"']+)["']""")
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. ``etag`` without quotes."""

    content: bytes
    mimetype: str
    etag: str


class Assets:
    """Every file below some folders, read once. Thread-safe.

    A later folder's file stands in for the same name of an earlier one.
    """

    def __init__(self, *folders: Path) -> None:
        self._files: dict[str, Asset] = {}
        for folder in folders:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                content = path.read_bytes()
                kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain"
                name = path.relative_to(folder).as_posix()
                self._files[name] = Asset(content, kind, hashlib.sha256(content).hexdigest()[:20])
        tags = "".join(f"{name} {asset.etag}\n" for name, asset in self._files.items())
        self.build = hashlib.sha256(tags.encode()).hexdigest()[:12]
        self._packed: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def url(self, name: str) -> str:
        """Raises ``KeyError`` for a file there is not."""
        if name not in self._files:
            raise KeyError(name)
        return f"/static/v-{self.build}/{name}"

    def modules(self, name: str) -> list[str]:
        """A module and everything it imports, so that a page can ask for all of it at once."""
        found: dict[str, None] = {}
        todo = [name]
        while todo:
            one = todo.pop()
            if one in found:
                continue
            found[one] = None
            text = self._files[one].content.decode()
            for pair in IMPORT.findall(text):
                todo.append(posixpath.normpath(posixpath.join(posixpath.dirname(one), pair[0] or pair[1])))
        return sorted(found)

    def packed(self, name: str) -> bytes:
        """The file as gzip."""
        with self._lock:
            if name not in self._packed:
                self._packed[name] = gzip.compress(self._files[name].content, 9, mtime=0)
            return self._packed[name]

    def answer(self, name: str, *, gzipped: bool, known: str, kept: bool) -> Response | None:
        """A file for a browser; None when there is no such file.

        Args:
            gzipped: The browser takes gzip.
            known: Its ``If-None-Match``.
            kept: It was asked for under the present build.
        """
        asset = self._files.get(name)
        if asset is None:
            return None
        headers = {
            "Cache-Control": FOR_GOOD if kept else ASK_AGAIN,
            "ETag": f'"{asset.etag}"',
            "Vary": "Accept-Encoding",
        }
        if f'"{asset.etag}"' in known:
            return Response(status=304, headers=headers)
        body = asset.content
        if gzipped and posixpath.splitext(name)[1] in PACKED and len(body) > 512:
            body = self.packed(name)
            headers["Content-Encoding"] = "gzip"
        return Response(body, headers=headers, content_type=asset.mimetype)
