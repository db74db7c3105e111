import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rec_gen.errors import ModelError
from training.memory import explain_out_of_memory


def test_a_failed_allocation_says_what_to_lower() -> None:
    with (
        pytest.raises(ModelError, match=r"batch_size = 8: lower it and raise train\.accumulation"),
        explain_out_of_memory(8),
    ):
        torch.empty(1 << 60)


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="size"), explain_out_of_memory(8):
        torch.ones(2) @ torch.ones(3)


@pytest.mark.slow
def test_a_batch_that_is_too_large_ends_training_with_advice(tmp_path: Path) -> None:
    """In a process that may hold little more than the model."""
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from tests.toy import toy_dataset, toy_recipe\n"
        "from training.sft import train\n"
        "from training.setup import prepare_materials\n"
        "recipe = toy_recipe(train={'batch_size': 20_000, 'max_steps': 2})\n"
        "dataset = toy_dataset(users=20_000)\n"
        "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size + (600 << 20), -1))\n"
        "train(recipe, dataset, Path(sys.argv[1]))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "memory ran out with train.batch_size = 20000" in found.stderr, found.stderr[-2000:]
