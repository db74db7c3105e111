"""How vLLM is run on a CPU that other work shares."""

import os

ON_CPU = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Variables of the environment."""


def share_the_cpu() -> None:
    """Set each of `ON_CPU` that is not set yet."""
    for name, value in ON_CPU.items():
        os.environ.setdefault(name, value)
