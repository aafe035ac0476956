"""Files that arrive in parts, until an import takes them. They lie in ``historify.d/uploads``."""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from pathlib import Path

from brokers.errors import InvalidRequest
from historify.errors import StoreFull
from historify.jobs.model import NoSuch

MOST_BYTES = 1 << 30
KEPT_S = 24 * 3600


class Uploads:
    """Args: ``folder`` is made at the first upload."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, upload: str, text: str | None, encoded: str | None) -> tuple[str, int]:
        """Begin a file, or add to one; returns its id and its bytes so far.

        Raises:
            InvalidRequest: Not base64, or the file grows beyond 1 GiB.
            NoSuch: ``upload`` is none that waits.
            StoreFull: It cannot be written.
        """
        try:
            part = (
                text.encode()
                if text is not None
                else base64.b64decode((encoded or "").encode(), validate=True)
            )
        except (binascii.Error, ValueError) as exc:
            raise InvalidRequest(f"this is not base64: {exc}", fields={"base64": ["Not base64."]}) from exc
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not upload:
                self._sweep()
                upload = secrets.token_hex(16)
                (self._folder / upload).touch(mode=0o600)
            path = self.path(upload)
            if path.stat().st_size + len(part) > MOST_BYTES:
                raise InvalidRequest(
                    f"a file of more than {MOST_BYTES >> 20} MiB: import it with algo history import"
                )
            with path.open("ab") as file:
                file.write(part)
            return upload, path.stat().st_size
        except OSError as exc:
            raise StoreFull(f"{self._folder}: {exc.strerror}; the upload was not kept") from exc

    def path(self, upload: str) -> Path:
        """Raises ``NoSuch``. ``upload`` is 32 hexadecimal digits, checked by the schema."""
        found = self._folder / upload
        if not found.is_file():
            raise NoSuch(f"no upload {upload}: it was imported, or is older than a day")
        return found

    def _sweep(self) -> None:
        """Drop what nobody has imported for a day."""
        for path in self._folder.iterdir():
            if time.time() - path.stat().st_mtime > KEPT_S:
                path.unlink(missing_ok=True)
