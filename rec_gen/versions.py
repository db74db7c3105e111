"""The versions that a result rests on."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
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
    """The machine and the versions, as every benchmark reports them.

    Processors and numbers of threads round differently, which is enough to train another model.
    """
    told = [f"{platform.system()} {platform.machine()}", _processor(), f"{os.cpu_count()} cores"]
    if threads := os.environ.get("OMP_NUM_THREADS"):
        told.append(f"OMP_NUM_THREADS={threads}")
    return {"machine": ", ".join(filter(None, told)), "versions": installed_versions()}


def _processor() -> str:
    """The processor's name, as Linux tells it; `platform` does not know it there."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor()
