"""The versions that a result rests on."""

from importlib.metadata import PackageNotFoundError, version
from platform import python_version

PACKAGES = (
    "rec_gen", "torch", "transformers", "trl", "peft", "bitsandbytes", "vllm", "numpy", "scipy",
)  # fmt: skip


def installed_versions() -> dict[str, str]:
    """Python and those packages that decide what is computed, where they are installed."""
    found = {"python": python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
