"""Internal: PyInstaller's hook for Divan.

Nothing in a program's code names its stores' drivers, which are found by the metadata of installed distributions. So
the drivers and plugins that are installed where the program is built come along, with that metadata.
"""

from PyInstaller.utils.hooks import collect_entry_point  # type: ignore[import-untyped, import-not-found, unused-ignore]

datas: list[tuple[str, str]] = []
hiddenimports: list[str] = []
for _group in ("divan.backends", "divan.plugins"):
    _metadata, _modules = collect_entry_point(_group)
    datas += _metadata
    hiddenimports += _modules
