"""What `recgen batch` is told: one TOML file, flags and `--set`."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from rec_gen.config import Config
from rec_gen.decoding.score import Score

LENGTH = 10
"""Items of an answer where neither `k` nor candidates say how many."""


class ColumnsConfig(Config):
    """The columns of the table of users; others are not read.

    Attributes:
        user: An id, a string or an integer.
        history: A list of item ids, strings or integers, oldest first.
        candidates: A list of item ids that are ranked, instead of the whole catalog.
    """

    user: str = Field(default="user", min_length=1)
    history: str = Field(default="history", min_length=1)
    candidates: str | None = Field(default=None, min_length=1)


class ClusterConfig(Config):
    """Workers on a Ray cluster.

    Attributes:
        address: The cluster: `auto` for the one of this machine, or `HOST:PORT` of its head.
        cpus: Cores that a worker takes.
        gpus: GPUs that a worker takes.
    """

    address: str = Field(default="auto", min_length=1)
    cpus: float = Field(default=1.0, ge=0)
    gpus: float = Field(default=0.0, ge=0)


class BatchConfig(Config):
    """One job.

    Attributes:
        bundle: The bundle's folder.
        users: A Parquet file with one row a user, or a folder of such files.
        output: The folder of the answers.
        domain: The catalog, where the bundle has several; by default its first.
        k: Items of an answer; by default 10, or all candidates.
        exclude_seen: Never return an item of the history; by default so, but for candidates, which
            are all ranked.
        where: A rule over the catalog's columns; see `rec_gen.rules.eligible_items`.
        score: `lm` or `catalog`; by default what the bundle was trained by.
        beam_width: Prefixes that go on at once.
        exact: Search on until the likeliest items are found for certain; candidates always are.
        exposure: How much rarer items are raised, where the bundle holds a counted prior.
        explain: Write why each item fits, where the bundle has learnt to.
        part_rows: Users of a part, which is what a kill can lose the work of.
        columns: The columns of the table of users.
        batch_size: Users that the model reads at once.
        device: Where the model runs, such as `cpu` or `cuda`; CUDA if there is one. vLLM decides
            that itself.
        runtime: What runs the model.
        vllm: Options of `vllm.LLM`.
        workers: Processes, each with a model of its own and its share of the cores.
        ray: The workers run on a Ray cluster, and not on this machine.
    """

    bundle: Path
    users: Path
    output: Path
    domain: str | None = None
    k: int | None = Field(default=None, ge=1)
    exclude_seen: bool | None = None
    where: str | None = None
    score: Score | None = None
    beam_width: int = Field(default=20, ge=1)
    exact: bool = False
    exposure: float = Field(default=0.0, ge=0, le=100)
    explain: bool = False
    part_rows: int = Field(default=2048, ge=1)
    columns: ColumnsConfig = ColumnsConfig()
    batch_size: int = Field(default=32, ge=1)
    device: str | None = None
    runtime: Literal["transformers", "vllm"] = "transformers"
    vllm: dict[str, Any] = Field(default_factory=dict)
    workers: int = Field(default=1, ge=1)
    ray: ClusterConfig | None = None

    @model_validator(mode="after")
    def _refuse_options_of_another_runtime(self) -> "BatchConfig":
        if self.runtime != "vllm" and self.vllm:
            raise ValueError("vllm belongs to another runtime: say runtime = 'vllm'")
        if self.runtime == "vllm" and self.workers > 1 and self.ray is None:
            raise ValueError("several workers of vLLM are for a cluster: say --ray, or workers = 1")
        return self

    @property
    def seen_is_excluded(self) -> bool:
        """Whether items of the history may not be returned."""
        ranked = self.columns.candidates is not None
        return not ranked if self.exclude_seen is None else self.exclude_seen

    @property
    def answer_options(self) -> dict[str, Any]:
        """What decides the answers beside bundle and users, ready for JSON.

        In what batches, on what device, on how many machines and with what memory they are found is
        not among it.
        """
        elsewhere = {"bundle", "users", "output", "batch_size", "device", "workers", "vllm", "ray"}
        # a key that came later counts only where it says something, so that older jobs go on
        later = {name for name in ("domain", "exposure") if not getattr(self, name)}
        return self.model_dump(mode="json", exclude=elsewhere | later)
