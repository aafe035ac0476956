"""The site also shows what lies beside the manual: the pictures and the table of measurements."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

HERE = Path(__file__).resolve().parent


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path in (HERE / "benchmarks.md", *sorted((HERE / "images").glob("*.[ps][nv]g"))):
        name = path.relative_to(HERE).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files
