"""Catalogs by name, for servers that are told of them by one line of text."""

from pathlib import Path

from rec_gen.bundle import Bundle
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import ConfigError
from rec_gen.manifest import MANIFEST


def named_tries(setting: str) -> dict[str, CatalogTrie]:
    """Load tries by name.

    Args:
        setting: `movies=PATH,books=PATH`, where a path is that of a bundle or of a trie's file; or
            the path of a folder, in which each bundle and each file `NAME.safetensors` is a catalog
            by its name; or nothing.

    Raises:
        ConfigError: The setting cannot be read, or names one catalog twice.
        BundleError: A bundle or a trie is damaged.
    """
    return {name: _load(path) for name, path in _paths(setting).items()}


def _paths(setting: str) -> dict[str, Path]:
    if not setting.strip():
        return {}
    if "=" not in setting:
        return _in_folder(Path(setting.strip()))
    paths: dict[str, Path] = {}
    for part in setting.split(","):
        name, equals, path = (piece.strip() for piece in part.partition("="))
        if not (name and equals and path):
            raise ConfigError(f"catalogs: '{part}' is no NAME=PATH: write movies=PATH,books=PATH")
        if name in paths:
            raise ConfigError(f"catalogs: '{name}' is named twice: give each catalog its own name")
        paths[name] = Path(path)
    return paths


def _in_folder(folder: Path) -> dict[str, Path]:
    if not folder.is_dir() or (folder / MANIFEST).exists():
        raise ConfigError(
            f"catalogs: '{folder}' is no folder of bundles and tries: write NAME=PATH for one"
        )
    found = [path for path in sorted(folder.iterdir()) if (path / MANIFEST).exists()]
    found += sorted(folder.glob("*.safetensors"))
    paths = {path.stem if path.is_file() else path.name: path for path in found}
    if len(paths) < len(found):
        raise ConfigError(f"catalogs: in '{folder}' a bundle and a trie have the same name")
    return paths


def _load(path: Path) -> CatalogTrie:
    # a bundle is verified as a whole, so that no trie goes with another tokenizer's tokens
    return Bundle.load(path, weights=False).trie if path.is_dir() else CatalogTrie.load(path)
