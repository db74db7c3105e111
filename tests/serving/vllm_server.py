"""vLLM's own OpenAI server in a process of its own, on the loopback."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from eval.benchmarks.serving_redis import free_port
from rec_gen.bundle import MODEL, TOKENIZER

ROOT = Path(__file__).parent.parent.parent
CHAT = "{% for turn in messages %}{{ turn.content }}{% endfor %}"


@contextmanager
def vllm_server(bundle: Path, log: Path, **environment: str) -> Iterator[httpx.Client]:
    """Start a server of a bundle's model, and stop it by its process id."""
    port = str(free_port())
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", bundle / MODEL,
        "--tokenizer", bundle / TOKENIZER, "--served-model-name", "toy", "--dtype", "float32",
        "--enforce-eager", "--block-size", "32", "--host", "127.0.0.1", "--port", port,
        "--chat-template", CHAT,
    ]  # fmt: skip
    settings = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    with log.open("w") as file:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env={**os.environ, **settings, **environment},
            stdout=file,
            stderr=file,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            _wait(process, client, log)
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _wait(process: "subprocess.Popen[bytes]", client: httpx.Client, log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise AssertionError(log.read_text()[-3000:])
