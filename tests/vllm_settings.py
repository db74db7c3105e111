"""How tests run vLLM: as benchmarks do, and without compiling what runs a few times."""

from eval.benchmarks.vllm_settings import ON_CPU

VLLM = {**ON_CPU, "TORCH_COMPILE_DISABLE": "1"}
