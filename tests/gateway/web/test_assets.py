"""What the pages load: vendored files, their manifest, how much of it, and how long it may be kept."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from gateway.web.assets import STATIC, Assets
from tests.gateway.web.people import make_owner, pages_of, sign_in

ROOT = Path(__file__).parents[3]
MANIFEST = json.loads((STATIC / "vendor" / "manifest.json").read_text())
MOST_FIRST_LOAD = 200_000


@pytest.fixture(scope="module")
def assets() -> Assets:
    return Assets()


@pytest.mark.parametrize("entry", MANIFEST, ids=lambda entry: entry["file"])
def test_vendored_files_are_what_the_manifest_says(entry):
    content = (ROOT / entry["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", entry["version"])
    assert entry["integrity"].startswith("sha512-")
    assert entry["licence"] in ("MIT", "Apache-2.0", "MPL-2.0")
    assert (ROOT / entry["licence_file"]).stat().st_size > 500


def test_nothing_is_vendored_beside_the_manifest():
    kept = {entry["file"] for entry in MANIFEST}
    found = {p.relative_to(ROOT).as_posix() for p in (STATIC / "vendor").iterdir()}
    others = {name for name in found - kept if not name.endswith((".LICENSE", "manifest.json"))}
    assert others == set()


def test_every_module_imports_only_files_there_are(assets):
    for path in STATIC.rglob("*.js"):
        name = path.relative_to(STATIC).as_posix()
        assert name in assets.modules(name)
        text = path.read_text()
        assert not re.search(r"""\bfrom\s*["'][^./]""", text), f"{name}: a bare import needs an import map"
        assert "sourceMappingURL" not in text, name


def test_the_first_load_of_every_page_is_small(rig):
    make_owner(rig)
    client = sign_in(rig)
    for path in pages_of(rig.app):
        page = client.get(f"/{path}").get_data(as_text=True)
        assert "<script>" not in page, path
        assert not re.search(r"""\son\w+=|\sstyle=|javascript:""", page), f"{path}: inline code or style"
        sizes = {"": len(page)}
        for url in set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page)):
            answer = client.get(url, headers={"Accept-Encoding": "gzip"})
            assert answer.status_code == 200, url
            assert "immutable" in answer.headers["Cache-Control"]
            sizes[url] = len(answer.data)
        assert sum(sizes.values()) <= MOST_FIRST_LOAD, (path, sizes)


def test_a_file_is_packed_and_told_apart_by_its_tag(rig, assets):
    client = rig.app.test_client()
    url = assets.url("style.css")
    packed = client.get(url, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(packed.data) == (STATIC / "style.css").read_bytes() == client.get(url).data
    again = client.get("/static/style.css", headers={"If-None-Match": packed.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Cache-Control"] == "no-cache"


def test_a_file_of_another_build_is_not_kept(rig, assets):
    answer = rig.app.test_client().get(assets.url("style.css").replace(assets.build, "0" * 12))
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")


def test_another_content_is_another_build(tmp_path):
    (tmp_path / "a.js").write_text("1")
    before = Assets(tmp_path).build
    (tmp_path / "a.js").write_text("2")
    assert Assets(tmp_path).build != before
