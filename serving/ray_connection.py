"""The way to a Ray cluster."""

import os
import socket

import ray

from rec_gen.errors import ConfigError

CONNECT_SECONDS = 5.0


def connect(address: str) -> None:
    """Connect this process to a cluster; `ray.shutdown` ends that.

    Args:
        address: `auto` for the cluster of this machine, or `HOST:PORT` of its head.

    Raises:
        ConfigError: No cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        host, _, port = address.rpartition(":")
        if port.isdigit():  # Ray itself waits for minutes
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        ray.init(address, log_to_driver=False, configure_logging=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"ray.address '{address}': no Ray cluster answers there: start one with "
            "ray start --head"
        ) from error
