"""Prompt templates: Jinja text whose first comment says what it is for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2 import Template as JinjaTemplate
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rec_gen.errors import PromptError

_HEADER = re.compile(r"\s*\{#-?(.*?)-?#\}", re.DOTALL)
_REQUIRED = ("task", "version", "inputs")
_KNOWN = (*_REQUIRED, "system")
SUPPLIED = ("history",)
"""The inputs that a prompt can be rendered with."""


@dataclass(frozen=True)
class Template:
    """A prompt template.

    Attributes:
        name: The file's name without its ending.
        text: The whole file.
        header: What its first comment says: `task`, `version`, `inputs` and perhaps `system`,
            the text of a system turn for chat models.
    """

    name: str
    text: str
    header: Mapping[str, str]

    @property
    def inputs(self) -> list[str]:
        """The names that the template reads."""
        return [name.strip() for name in self.header["inputs"].split(",")]

    @property
    def sha256(self) -> str:
        """The digest of the file's text."""
        return sha256(self.text.encode()).hexdigest()

    @cached_property
    def _compiled(self) -> JinjaTemplate:
        return _environment().from_string(self.text)

    def render(self, history: Sequence[Any]) -> str:
        """Render the template in a sandbox where an unknown name is an error.

        Raises:
            PromptError: The template fails on these items.
        """
        try:
            return self._compiled.render(history=history)
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise PromptError(f"template '{self.name}': {error}") from error

    @classmethod
    def parse(cls, name: str, text: str) -> "Template":
        """Read a template's header and check its syntax and its names.

        Raises:
            PromptError: The header is missing or wrong, the syntax is wrong, or the template
                reads a name that the header does not list.
        """
        match = _HEADER.match(text)
        if match is None:
            raise PromptError(f"template '{name}': begin with a comment {{# task: … #}}")
        header = {}
        for line in filter(None, map(str.strip, match.group(1).splitlines())):
            key, colon, value = line.partition(":")
            if not colon or key.strip() not in _KNOWN:
                raise PromptError(
                    f"template '{name}': header line '{line}' is not one of {', '.join(_KNOWN)}"
                )
            header[key.strip()] = value.strip()
        for key in _REQUIRED:
            if not header.get(key):
                raise PromptError(f"template '{name}': the header gives no '{key}'")
        template = cls(name, text, header)
        template._check_names()
        return template

    def _check_names(self) -> None:
        try:
            read = meta.find_undeclared_variables(_environment().parse(self.text))
        except TemplateSyntaxError as error:
            raise PromptError(
                f"template '{self.name}', line {error.lineno}: {error.message}"
            ) from error
        unknown = sorted(set(self.inputs) - set(SUPPLIED))
        if unknown:
            raise PromptError(
                f"template '{self.name}': the header lists the input '{unknown[0]}'; "
                f"there is only {', '.join(SUPPLIED)}"
            )
        unlisted = sorted(read - set(self.inputs))
        if unlisted:
            raise PromptError(
                f"template '{self.name}' reads '{unlisted[0]}': list it under 'inputs' in the "
                "header, or correct the name"
            )

    @classmethod
    def load(cls, name_or_path: str) -> "Template":
        """Load a template by its name in the package `prompts`, or from a `.jinja` file.

        Raises:
            PromptError: There is no such template, or it is wrong.
        """
        if name_or_path.endswith(".jinja"):
            path = Path(name_or_path)
            try:
                return cls.parse(path.stem, path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                raise PromptError(f"template {path}: cannot be read: {error}") from error
        if name_or_path not in template_names():
            raise PromptError(
                f"no template '{name_or_path}': choose one of {', '.join(template_names())}, "
                "or give the path of a .jinja file"
            )
        source = resources.files("prompts").joinpath(f"{name_or_path}.jinja")
        return cls.parse(name_or_path, source.read_text(encoding="utf-8"))


def template_names() -> list[str]:
    """The names of the templates that come with the package."""
    files = (Path(file.name) for file in resources.files("prompts").iterdir())
    return sorted(file.stem for file in files if file.suffix == ".jinja")


def _environment() -> ImmutableSandboxedEnvironment:
    from rec_gen.marks import mark_untrusted

    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=mark_untrusted,
    )
