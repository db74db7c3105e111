"""A rehearsal of the Qwen3-0.6B recipe: `python -m eval.benchmarks.rehearsal --json FILE`.

The weights of Qwen3-0.6B are no part of this project, its shape is known. A model of this shape
with random weights, and the tokenizer of SmolLM2, goes through the whole recipe for a few steps in
small batches: new tokens, 4 bits, adapter, packing, validation by constrained search, bundle. What
it shows is that the recipe runs, and in how much memory; nothing of how good it becomes.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import torch
from transformers import AutoModelForCausalLM, Qwen3Config, set_seed

from rec_gen.errors import RecGenError
from rec_gen.files import write_text
from rec_gen.models import load_tokenizer
from rec_gen.notices import quiet
from rec_gen.versions import machine

RECIPE = "qwen3-0.6b-qlora"
SHAPE = Qwen3Config(
    vocab_size=151_936,
    hidden_size=1024,
    intermediate_size=3072,
    num_hidden_layers=28,
    num_attention_heads=16,
    num_key_value_heads=8,
    head_dim=128,
    max_position_embeddings=40_960,
    rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
    rms_norm_eps=1e-6,
    tie_word_embeddings=True,
)
"""As the model's own configuration says."""


def save_base(folder: Path) -> int:
    """Write a base model of this shape with random weights, and say how many weights it has."""
    set_seed(0)
    model = AutoModelForCausalLM.from_config(SHAPE, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    load_tokenizer("smollm2-135m").save_pretrained(folder)
    return int(model.num_parameters())


def train(base: Path, folder: Path, steps: int, batch_size: int) -> None:
    """Run the recipe on a base model, in a process of its own.

    Raises:
        RecGenError: It fails.
    """
    settings = {
        "model.base": f"'{base}'",
        "train.max_steps": steps,
        "train.warmup_steps": 1,
        "train.batch_size": batch_size,
        "train.accumulation": 1,
        "validation.every_steps": steps,
        "validation.users": 4,
    }
    command = [sys.executable, "-m", "rec_gen", "train", RECIPE, "--out", str(folder)]
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    if subprocess.run([*command, *options], check=False).returncode:
        raise RecGenError("the training failed; its message stands above")


@click.command()
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--steps", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=1, show_default=True)
def main(json_path: Path | None, steps: int, batch_size: int) -> None:
    """Run the Qwen3-0.6B recipe for a few steps on random weights of the same shape."""
    quiet()
    with TemporaryDirectory() as temporary:
        base, run = Path(temporary, "base"), Path(temporary, "run")
        parameters = save_base(base)
        train(base, run, steps, batch_size)
        adapter = run / "bundle" / "adapter" / "adapter_model.safetensors"
        manifest = json.loads((run / "bundle" / "manifest.json").read_text(encoding="utf-8"))
        figures = {
            "base_parameters": parameters,
            "steps": steps,
            "batch_size": batch_size,
            "minutes": round(manifest["minutes"], 2),
            "peak_gb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6, 2),
            "adapter_mb": round(adapter.stat().st_size / 1e6, 1),
        }
    click.echo(json.dumps(figures, indent=2))
    if json_path:
        record = {"figures": figures, "recipe": RECIPE} | machine()
        write_text(json_path, json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
