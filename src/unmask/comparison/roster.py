"""Workers of a scheduler as they join: their properties, and which of them are not suitable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unmask.comparison.worker_side import ALIKE, WorkerFacts, describe_worker, unseen_path
from unmask.errors import UserError


@dataclass
class Roster:
    """All workers seen so far."""

    client: Any
    address: str
    """Address of the scheduler."""
    needed: tuple[str, ...] = ()
    """Paths that every worker must see."""
    facts: dict[str, WorkerFacts] = field(default_factory=dict)
    """Facts of suitable workers, by address."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why the others are not suitable."""
    here: tuple[str, ...] = ()
    """Suitable workers that are present."""

    def meet(self, *, first: bool = False) -> list[str]:
        """Query the workers that have joined; returns the suitable ones.

        Raises:
            UserError: no worker is suitable; or, among the `first` ones, any is unsuitable.
        """
        threads = self.client.nthreads()
        new = [worker for worker in threads if worker not in self.facts and worker not in self.refused]
        answers = self.client.run(describe_worker, workers=new, on_error="return") if new else {}
        unseen = (
            self.client.run(unseen_path, self.needed, workers=new, on_error="ignore") if new and self.needed else {}
        )
        self.facts |= {worker: found for worker, found in answers.items() if isinstance(found, WorkerFacts)}
        self.here = tuple(worker for worker in threads if worker in self.facts)
        refused = {worker: _why_not(found, threads[worker], unseen.get(worker)) for worker, found in answers.items()}
        self.refuse(refused, first=first)
        return [worker for worker in new if worker in self.facts]

    def refuse(self, why: Mapping[str, str], *, first: bool = False) -> None:
        """Leave out workers with a reason that is not empty.

        Raises:
            UserError: no worker is left; or, among the `first` ones, any is unsuitable.
        """
        new = {worker: f"{self.address}: the worker {worker} {reason}" for worker, reason in why.items() if reason}
        self.refused |= new
        self.facts = {worker: found for worker, found in self.facts.items() if worker not in new}
        self.here = tuple(worker for worker in self.here if worker in self.facts)
        if (new and first) or (self.refused and not self.here):
            raise UserError(next(iter((new or self.refused).values())))

    def allowed(self, processes: int) -> tuple[str, ...] | None:
        """The hosts whose workers have room for a pretraining over this many processes; None for any.

        The right worker of a host is found automatically: others send the piece back.

        Raises:
            UserError: there are workers, but none has room.
        """
        fitting = [worker for worker in self.here if self.facts[worker].holds(processes)]
        if self.here and not fitting:
            largest = max((self.facts[worker] for worker in self.here), key=lambda one: one.gpus or one.cores)
            there = f"{largest.gpus} GPUs" if largest.gpus else f"{largest.cores} cores"
            raise UserError(
                f"pretrain_processes = {processes}: no worker has so many GPUs or cores, the one on {largest.host} has "
                f"{there}; give fewer processes, or start larger workers"
            )
        if len(fitting) == len(self.here) and not self.refused:
            return None
        return tuple(sorted({worker.partition("://")[2].rpartition(":")[0].strip("[]") for worker in fitting}))

    def width(self, processes: int) -> int:
        """How many pieces a pretraining over this many processes counts as: GPUs belong to its worker, cores do not."""
        return 1 if processes == 1 or all(self.facts[worker].gpus for worker in self.here) else processes

    def notes(self) -> list[str]:
        """Notes on workers left out, and on differences between the others that may change the last bits of numbers."""
        return [*(f"left out: {why}" for why in self.refused.values()), *mixed_notes(list(self.facts.values()))]


def _why_not(found: Any, threads: int, unseen: str | None) -> str:
    """Why a worker is not suitable; "" for one that is, or that has left again."""
    if threads > 1:
        return (
            f"has {threads} threads: start it with --nthreads 1, and --nworkers equal to its cores, or GPUs; a "
            "training has one thread"
        )
    if isinstance(found, OSError):
        return ""
    if not isinstance(found, WorkerFacts):
        return f"cannot run this package ({found}): install this version of unmask there"
    if differing := found.differing(describe_worker(), ALIKE):
        return f"has {differing}: install the same versions there"
    return f"({found.host}) does not see {unseen}: give paths that all machines have" if unseen else ""


def mixed_notes(workers: Sequence[WorkerFacts]) -> list[str]:
    """Notes on differences between workers that may change the last bits of numbers, with their hosts."""
    hosts: dict[str, set[str]] = {}
    versions: dict[str, dict[str, set[str]]] = {}
    for one in workers:
        hosts.setdefault(one.processor, set()).add(one.host)
        for name, version in one.packages:
            versions.setdefault(name, {}).setdefault(version or "none", set()).add(one.host)
    mixed = [f"{name} {_where(found)}" for name, found in sorted(versions.items()) if len(found) > 1]
    notes = []
    if len(hosts) > 1:
        notes.append(
            f"workers had {len(hosts)} types of processors ({_where(hosts)}): numbers of one type differ from those of "
            "another in their last bits"
        )
    if mixed:
        notes.append(f"workers had different versions ({'; '.join(mixed)}): numbers may differ in their last bits")
    return notes


def _where(hosts: dict[str, set[str]]) -> str:
    return ", ".join(f"{kind} on {' '.join(sorted(found))}" for kind, found in sorted(hosts.items()))
