"""The pictures of the pages in ``docs/images``: one of each in both looks, small, and none that is dead."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from supervisor.console import app as console_app
from tests.e2e.shots import BEFORE, FLEET_PAGES, INSTANCE_PAGES, LARGEST_BYTES, SIZES, name_of
from tests.gateway.web.people import pages_of
from tests.supervisor.console import rig as console

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "docs" / "images"
LOOKS = [f"{width}-{scheme}" for _, width, _, scheme in SIZES]
WANTED = {
    name_of(title, width, scheme): (width, height)
    for title in (*INSTANCE_PAGES, *BEFORE, *FLEET_PAGES)
    for _, width, height, scheme in SIZES
}
LINK = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"")


def test_every_page_of_an_instance_has_a_picture(rig):
    titled = {title.replace("dashboard", "") for title in (*INSTANCE_PAGES, *BEFORE)}
    assert pages_of(rig.app) - titled == set()


def test_every_page_of_the_fleet_has_a_picture(tmp_path):
    titled = {title.removeprefix("fleet-").replace("page", "") for title in FLEET_PAGES}
    assert pages_of(console_app.create(console.build(tmp_path))) - titled - set(BEFORE) == set()


def test_each_picture_is_there_small_and_of_its_size():
    wrong = []
    for name, size in WANTED.items():
        body = (IMAGES / name).read_bytes() if (IMAGES / name).is_file() else b""
        if len(body) < 24 or len(body) > LARGEST_BYTES or struct.unpack(">II", body[16:24]) != size:
            wrong.append(f"{name}: {len(body)} bytes")
    assert wrong == [], "scripts/pictures makes them"


def test_no_picture_is_left_of_a_page_that_is_gone():
    found = {path.name for look in LOOKS for path in IMAGES.glob(f"*-{look}.png")}
    assert found - set(WANTED) == set()


def home(text: Path) -> Path:
    """Where a page's links start: the manual is built with the pictures beside its pages."""
    return IMAGES.parent if "manual" in text.parts else text.parent


def test_every_image_that_is_linked_is_there():
    texts = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    links = [(path, one or two) for path in texts for one, two in LINK.findall(path.read_text())]
    assert links, "no picture is shown anywhere"
    dead = [
        f"{path.relative_to(ROOT)}: {link}"
        for path, link in links
        if not link.startswith(("http:", "https:")) and not home(path).joinpath(link).is_file()
    ]
    assert dead == []
