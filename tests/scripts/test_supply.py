"""What is packed, under which licences, and that no credential is in the tree."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from scripts import licences, scan_secrets

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("brokers", "gateway", "historify", "supervisor")


def test_every_locked_package_has_its_licence_on_the_page() -> None:
    page = (ROOT / "docs" / "licences.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| (\S+ \| \S+) \| (.+) \|$", page, re.MULTILINE))
    locked = [f"{name} | {version}" for name, version, _ in licences.pins()]
    assert len(locked) > 40
    assert [name for name in locked if name not in rows] == [], "run scripts/licences > docs/licences.md"
    assert [name for name, licence in rows.items() if licence.lower() in ("unknown", "")] == []
    # what would bind the product itself; LGPL libraries, used as libraries, do not
    assert [name for name, licence in rows.items() if re.search(r"\bA?GPL|General Public", licence)] == []


def test_every_vendored_package_is_listed_and_its_licence_lies_beside_it() -> None:
    page = (ROOT / "docs" / "licences.md").read_text("utf-8")
    rows = json.loads(licences.VENDORED.read_text("utf-8"))
    assert rows
    missing = [
        r["package"] for r in rows if f"| {r['package']} | {r['version']} | {r['licence']} |" not in page
    ]
    assert missing == [], "run scripts/licences > docs/licences.md"
    assert [row["file"] for row in rows if not (ROOT / row["licence_file"]).is_file()] == []


def test_a_new_credential_is_found_and_an_accepted_one_is_not(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    # put together here, so that this file holds none
    planted = "glpat" + "-" + "x7Kq9LmZ2vTtR4wB8nYc"
    (tmp_path / "strategy.py").write_text(f'TOKEN = "{planted}"\n', "utf-8")
    (tmp_path / "clean.py").write_text('NAME = "NSE:SBIN"\n', "utf-8")
    found = scan_secrets.candidates(tmp_path, scan_secrets.files(tmp_path))
    assert list(found) == ["strategy.py"]
    assert all(planted not in text for row in found.values() for text in [*row, *row.values()])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same commit packed twice, from copies made at other times."""
    folders = []
    for name in ("first", "second"):
        folder = tmp_path_factory.mktemp(name)
        script = ROOT / "scripts" / "build"
        subprocess.run([str(script), str(folder)], check=True, capture_output=True, timeout=110)
        folders.append(folder)
    return folders


@pytest.mark.xdist_group("packed")
def test_the_same_commit_gives_the_same_bytes(built: list[Path]) -> None:
    first, second = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in built)
    assert len(first) == 2
    assert first == second


@pytest.mark.xdist_group("packed")
def test_only_code_is_packed(built: list[Path]) -> None:
    (wheel,) = built[0].glob("*.whl")
    (sdist,) = built[0].glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as packed:
        tops = {name.split("/")[0] for name in packed.namelist()}
    assert {name for name in tops if not name.endswith(".dist-info")} == set(PACKAGES)
    with tarfile.open(sdist) as packed:
        names = [name.split("/", 1)[1] for name in packed.getnames() if "/" in name]
    files = {name for name in names if "/" not in name}
    assert {name.split("/")[0] for name in names} - files == set(PACKAGES)
    assert files == {"CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml", ".gitignore"}


@pytest.mark.xdist_group("packed")
def test_the_wheel_alone_gives_a_working_command(built: list[Path], tmp_path: Path) -> None:
    """As pipx does it: an environment of its own, no checkout, an empty folder."""
    (wheel,) = built[0].glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    empty = tmp_path / "empty"
    empty.mkdir()
    # the dependencies of this environment, the product's code from the wheel alone
    code = (
        "import sys; sys.path[:0] = [sys.argv.pop(1)]\n"
        "import supervisor; assert supervisor.__file__.startswith(sys.path[0]), supervisor.__file__\n"
        "from supervisor.cli import main; sys.argv[0] = 'algo'; main()"
    )

    def algo(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-c", code, str(site), *words]
        return subprocess.run(command, cwd=empty, capture_output=True, text=True, timeout=60, check=False)

    said = algo("brokers")
    assert said.returncode == 0, said.stderr
    assert "Kotak Neo" in said.stdout
    assert list(empty.iterdir()) == []
