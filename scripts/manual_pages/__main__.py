"""Write every reference page anew; ``scripts/manual reference`` calls it."""

from __future__ import annotations

from scripts.manual_pages import FOLDER, PAGES

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
        print(f"docs/manual/reference/{name}")
