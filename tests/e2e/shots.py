"""The pictures of the pages: which there are, their sizes, and how they are made small."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from playwright.sync_api import Page

INSTANCE_PAGES = (
    "dashboard",
    "orders",
    "trades",
    "positions",
    "holdings",
    "watch",
    "latency",
    "comparison",
    "scalping",
    "option-chain",
    "market-data",
    "downloads",
    "strategies",
    "traffic",
    "settings",
    "playground",
    "start",
)
BEFORE = ("setup", "sign-in")
"""Pages for whoever is not signed in."""
FLEET_PAGES = (
    "fleet-page",
    "fleet-orders",
    "fleet-positions",
    "fleet-comparison",
    "fleet-logs",
    "fleet-panic",
)
SIZES = (("kotak", 1440, 900, "light"), ("dhan", 390, 844, "dark"))
"""Instance, width, height, scheme."""
LARGEST_BYTES = 150_000
COLOURS = 256


def name_of(title: str, width: int, scheme: str) -> str:
    return f"{title}-{width}-{scheme}.png"


def packed(page: Page, png: bytes) -> bytes:
    """The same picture with a palette of 256 colours, as an indexed PNG of a third of the size.

    Args:
        page: Any blank page; the browser decodes the picture, so that no image library is needed.
        png: As the browser made it.
    """
    text = page.evaluate(
        """async url => {
            const bitmap = await createImageBitmap(await (await fetch(url)).blob());
            const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
            const paper = canvas.getContext("2d");
            paper.drawImage(bitmap, 0, 0);
            const bytes = paper.getImageData(0, 0, bitmap.width, bitmap.height).data;
            const url64 = await new Promise(done => {
                const reader = new FileReader();
                reader.onload = () => done(reader.result);
                reader.readAsDataURL(new Blob([bytes]));
            });
            return `${bitmap.width} ${bitmap.height} ${url64.slice(url64.indexOf(",") + 1)}`;
        }""",
        "data:image/png;base64," + base64.b64encode(png).decode(),
    )
    width, height, body = text.split(" ")
    pixels = np.frombuffer(base64.b64decode(body), np.uint8).reshape(int(height), int(width), 4)[:, :, :3]
    return written(*indexed(pixels))


def indexed(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Palette, and the number of its nearest colour for each pixel; the most frequent colours stay exact.

    Args:
        pixels: Height by width by red, green, blue.
    """
    height, width, _ = pixels.shape
    codes = pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    colours, place, times = np.unique(codes.ravel(), return_inverse=True, return_counts=True)
    rgb = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.int32)
    kept: list[int] = []
    # one colour for each region of colours first, then what is most frequent among the rest
    seen: set[int] = set()
    order = np.argsort(-times)
    for at in order[:4096]:
        region = int(rgb[at, 0] >> 5 << 6 | rgb[at, 1] >> 5 << 3 | rgb[at, 2] >> 5)
        if region not in seen and len(kept) < COLOURS // 2:
            seen.add(region)
            kept.append(int(at))
    kept += [int(at) for at in order if int(at) not in set(kept)][: COLOURS - len(kept)]
    palette = rgb[kept]
    nearest = np.empty(len(rgb), np.uint8)
    for start in range(0, len(rgb), 4096):
        part = rgb[start : start + 4096]
        nearest[start : start + 4096] = ((part[:, None] - palette[None]) ** 2).sum(axis=2).argmin(axis=1)
    return palette.astype(np.uint8), nearest[place].reshape(height, width)


def written(palette: np.ndarray, numbers: np.ndarray) -> bytes:
    """An indexed PNG, eight bits a pixel, rows without a filter (the best for flat colours)."""
    height, width = numbers.shape
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 1:] = numbers

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    body = zlib.compress(rows.tobytes(), 9)
    parts = (
        chunk(b"IHDR", head),
        chunk(b"PLTE", palette.tobytes()),
        chunk(b"IDAT", body),
        chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
