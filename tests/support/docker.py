"""Server programs that an image carries, run by Docker where it is installed and its daemon answers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from tests.support.processes import Process, temporary_folder


@cache
def is_there() -> bool:
    """Whether Docker is installed and its daemon answers."""
    if shutil.which("docker") is None:
        return False
    with suppress(subprocess.TimeoutExpired):
        return subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False).returncode == 0
    return False


def run(image: str, inside: int, outside: int, ready: Callable[[], bool], **variables: str) -> Process:
    """Run an image in the foreground of a process of ours, so that the process's end is the container's.

    Args:
        image: The image's name and tag.
        inside: The port that the server listens on in the container.
        outside: The loopback port to reach it by.
        ready: Whether it answers.
        **variables: The container's environment.
    """
    command = ["docker", "run", "--rm", "--init", "-p", f"127.0.0.1:{outside}:{inside}"]
    for name, value in variables.items():
        command += ["-e", f"{name}={value}"]
    # The image may have to be fetched first.
    folder = temporary_folder(image.partition(":")[0])
    return Process(f"docker run {image}", [*command, image], folder, ready, 600.0)
