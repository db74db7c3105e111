"""The versions that a result rests on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any

PACKAGES = (
    "rec_gen", "torch", "transformers", "trl", "peft", "bitsandbytes", "vllm", "numpy", "polars",
    "scipy", "implicit", "opacus", "flwr",
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


def machine() -> dict[str, Any]:
    """The machine and the versions, as every benchmark reports them."""
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": installed_versions(),
    }
