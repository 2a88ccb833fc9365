"""Parallel trainings on several GPUs."""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Environment = dict[str, str]


def visible_devices(text: str) -> list[str]:
    """GPU ids as in CUDA_VISIBLE_DEVICES; empty for the CPU."""
    if text == "none":
        return []
    import torch

    count = torch.cuda.device_count()
    seen = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    names = seen[:count] or [str(number) for number in range(count)]
    if text == "auto":
        return names
    try:
        return [names[int(part)] for part in text.split(",")]
    except (ValueError, IndexError):
        raise SystemExit(f"error: --devices {text}: found {count} GPUs, numbered from 0") from None


def job_environments(devices: str, jobs: int | None, tasks: int) -> list[Environment]:
    """Environment variables of each parallel process: its GPU, or its share of the CPUs.

    Args:
        devices: GPU indices, `auto` (all) or `none`.
        jobs: number of parallel processes; None is one per GPU, or one on the CPU.
        tasks: number of tasks to run.
    """
    names: list[str | None] = [*visible_devices(devices)] or [None]
    count = min(jobs or len(names), max(1, tasks))
    chosen = [names[job % len(names)] for job in range(count)]
    share = {} if count == 1 or "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(cpus_for_each(count))}
    return [share if name is None else {"CUDA_VISIBLE_DEVICES": name} for name in chosen]


def cpus_for_each(jobs: int) -> int:
    """Number of threads per process."""
    return max(1, (os.cpu_count() or 1) // jobs)


def run_tasks(
    tasks: Iterable[Task],
    run: Callable[[Task, Environment], None],
    environments: list[Environment],
    done: Callable[[Task], bool] = lambda task: True,
) -> None:
    """Run tasks in parallel, each in the environment of a free job.

    Args:
        tasks: tasks, drawn one at a time when a job is free, so that later ones may depend on finished ones.
        run: function called with a task and the environment variables of its processes.
        environments: environments of the jobs (`job_environments`); a single one runs in this thread.
        done: function called after each task, one call at a time; if it returns False, no further task is drawn.
    """
    left, lock, stopping = iter(tasks), threading.Lock(), threading.Event()

    def work(environment: Environment) -> None:
        while True:
            with lock:
                task = None if stopping.is_set() else next(left, None)
            if task is None:
                return
            run(task, environment)
            with lock:
                if stopping.is_set():  # its process was terminated with this one; the next call resumes it
                    return
                if not done(task):
                    stopping.set()

    if len(environments) == 1:
        work(environments[0])
        return
    pool = ThreadPoolExecutor(len(environments))
    try:
        for worker in [pool.submit(work, environment) for environment in environments]:
            worker.result()
    finally:
        stopping.set()
        pool.shutdown(wait=False, cancel_futures=True)
