"""The GPUs that several trainings share, and the trainings that run on them at the same time."""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Environment = dict[str, str]


def visible_devices(text: str) -> list[str]:
    """GPUs as CUDA_VISIBLE_DEVICES names them; none for the CPU."""
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
        raise SystemExit(f"error: --devices {text}: there are {count} GPUs, numbered from 0") from None


def job_environments(devices: str, jobs: int | None, tasks: int) -> list[Environment]:
    """Variables of each process that runs at the same time: its GPU, or its share of the CPUs.

    Args:
        devices: GPUs by number, `auto` (all) or `none`.
        jobs: processes at a time; None is one per GPU, on the CPU one.
        tasks: how many there are to run.
    """
    names: list[str | None] = [*visible_devices(devices)] or [None]
    count = min(jobs or len(names), max(1, tasks))
    chosen = [names[job % len(names)] for job in range(count)]
    share = {} if count == 1 or "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(cpus_for_each(count))}
    return [share if name is None else {"CUDA_VISIBLE_DEVICES": name} for name in chosen]


def cpus_for_each(jobs: int) -> int:
    """Threads of each of several processes."""
    return max(1, (os.cpu_count() or 1) // jobs)


def run_tasks(
    tasks: Iterable[Task],
    run: Callable[[Task, Environment], None],
    environments: list[Environment],
    done: Callable[[Task], bool] = lambda task: True,
) -> None:
    """Run tasks side by side, each in the environment of the job that is free.

    Args:
        tasks: drawn one at a time, when a job is free: what comes next may depend on what was done.
        run: called with a task and the variables of its processes.
        environments: of the jobs (`job_environments`); one alone runs in this thread.
        done: called after each task, never twice at a time; False draws no further ones.
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
                if stopping.is_set():  # its process was ended with us; the next call goes on with it
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
