"""Prompt templates: Jinja text whose first comment says what it is for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, meta, nodes
from jinja2 import Template as JinjaTemplate
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rec_gen.errors import PromptError
from rec_gen.item_view import ItemView
from rec_gen.tasks import TASKS, Task

_HEADER = re.compile(r"\s*\{#-?(.*?)-?#\}", re.DOTALL)
_REQUIRED = ("task", "version", "inputs")
_KNOWN = (*_REQUIRED, "domain", "system", "answer")
_FAILURES = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)
"""What a template's own expressions, filters and macros can raise."""


@dataclass(frozen=True)
class Template:
    """A prompt template.

    Attributes:
        name: The file's name without its ending.
        text: The whole file.
        header: What its first comment says: `task`, `version`, `inputs`, for an answer in text
            `answer`, a line of Jinja that makes it, and perhaps `domain`, whose words it uses, and
            `system`, the text of a system turn for chat models.
    """

    name: str
    text: str
    header: Mapping[str, str]

    @property
    def task(self) -> Task:
        """What the template is for."""
        return TASKS[self.header["task"]]

    @property
    def inputs(self) -> list[str]:
        """The names that the template reads."""
        return [name.strip() for name in self.header["inputs"].split(",")]

    @cached_property
    def fields(self) -> frozenset[str]:
        """The names of the attributes that the template reads, of items and of all else."""
        tree = _environment().parse(self.text)
        read = tree.find_all(nodes.Getattr)
        return frozenset(
            node.attr
            for node in read
            if not (isinstance(node.node, nodes.Name) and node.node.name == "loop")
        )

    @cached_property
    def shows_images(self) -> bool:
        """Whether the template shows images of items."""
        tree = _environment().parse(self.text)
        return any(each.name == "image" for each in tree.find_all(nodes.Filter))

    @property
    def sha256(self) -> str:
        """The digest of the file's text."""
        return sha256(self.text.encode()).hexdigest()

    @cached_property
    def _compiled(self) -> JinjaTemplate:
        return _environment().from_string(self.text)

    @cached_property
    def _answer(self) -> JinjaTemplate:
        return _environment().from_string(self.header["answer"])

    def render(self, **values: Any) -> str:
        """Render the template in a sandbox where an unknown name is an error.

        Args:
            values: What the template's inputs are.

        Raises:
            PromptError: The template fails on these values.
        """
        return self._render(self._compiled, values)

    def render_answer(self, value: Any) -> str:
        """Render the answer of a task that is answered in text, in the same sandbox.

        Args:
            value: What the task's answer is made of.

        Raises:
            PromptError: The line fails on this value.
        """
        return self._render(self._answer, {str(self.task.answer): value})

    def _render(self, compiled: JinjaTemplate, values: Mapping[str, Any]) -> str:
        try:
            return compiled.render(values)
        except _FAILURES as error:
            raise PromptError(f"template '{self.name}': {error}") from error

    @classmethod
    def parse(cls, name: str, text: str) -> "Template":
        """Read a template's header and check its syntax and its names.

        Raises:
            PromptError: The header is missing or wrong, the syntax is wrong, the template reads a
                name that the header does not list or its task does not know, or it does not read
                what it is asked about.
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
        if header["task"] not in TASKS:
            raise PromptError(
                f"template '{name}': the task '{header['task']}' is not one of {', '.join(TASKS)}"
            )
        template = cls(name, text, header)
        template._check_names()
        template._check_answer()
        return template

    def _check_names(self) -> None:
        read, known = self._names(self.text), (*self.task.reads, *self.task.also)
        unknown = sorted(set(self.inputs) - set(known))
        if unknown:
            raise PromptError(
                f"template '{self.name}': the header lists the input '{unknown[0]}'; for the task "
                f"{self.header['task']} there is only {', '.join(known)}"
            )
        unlisted = sorted(read - set(self.inputs))
        if unlisted:
            raise PromptError(
                f"template '{self.name}' reads '{unlisted[0]}': list it under 'inputs' in the "
                "header, or correct the name"
            )
        unread = [name for name in self.task.reads if name != "history" and name not in read]
        if unread:
            raise PromptError(
                f"template '{self.name}' never reads '{unread[0]}', which the task "
                f"{self.header['task']} asks about: print it"
            )

    def _check_answer(self) -> None:
        line, name = self.header.get("answer"), self.task.answer
        if name is None and line is not None:
            raise PromptError(
                f"template '{self.name}': the answer of the task {self.header['task']} is an item, "
                "written by its spelling; remove 'answer' from the header"
            )
        if name is not None and (not line or self._names(line) != {name}):
            raise PromptError(
                f"template '{self.name}': give the header a line 'answer' that reads '{name}' and "
                "nothing else"
            )

    def _names(self, text: str) -> set[str]:
        """The names that a text reads."""
        try:
            return meta.find_undeclared_variables(_environment().parse(text))
        except TemplateSyntaxError as error:
            raise PromptError(
                f"template '{self.name}', line {error.lineno}: {error.message}"
            ) from error

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


class _Sandbox(ImmutableSandboxedEnvironment):
    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if type(obj) is ItemView:  # read for every item; Jinja's own check costs more than the rest
            return not attr.startswith("_")
        return super().is_safe_attribute(obj, attr, value)


def _environment() -> ImmutableSandboxedEnvironment:
    from rec_gen.marks import mark_image, mark_untrusted

    environment = _Sandbox(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=mark_untrusted,
    )
    environment.filters["listed"] = _listed
    environment.filters["image"] = lambda item: mark_image(item.spelling)
    return environment


def _listed(value: Any) -> str:
    """A field as text: a list with commas, and nothing for a field that is missing or null."""
    if value is None or isinstance(value, Undefined):
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
