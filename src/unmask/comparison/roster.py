"""Workers of a scheduler as they join: what each is, and which of them will not do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unmask.comparison.worker_side import ALIKE, WorkerFacts, describe_worker, unseen_path
from unmask.errors import UserError


@dataclass
class Roster:
    """All workers that were seen."""

    client: Any
    address: str
    """Of the scheduler."""
    needed: tuple[str, ...] = ()
    """Paths that every worker must see."""
    facts: dict[str, WorkerFacts] = field(default_factory=dict)
    """Of those that will do, by address."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why the others will not."""
    here: tuple[str, ...] = ()
    """Those that will do and are there."""

    def meet(self, *, first: bool = False) -> list[str]:
        """Ask the workers that have joined what they are; returns those of them that will do.

        Raises:
            UserError: none of all that are there will do; of the `first` ones none may be so.
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
        """Leave out workers for which there is a reason, an empty one being none.

        Raises:
            UserError: none of all that are there is left; of the `first` ones one will not do.
        """
        new = {worker: f"{self.address}: the worker {worker} {reason}" for worker, reason in why.items() if reason}
        self.refused |= new
        self.facts = {worker: found for worker, found in self.facts.items() if worker not in new}
        self.here = tuple(worker for worker in self.here if worker in self.facts)
        if (new and first) or (self.refused and not self.here):
            raise UserError(next(iter((new or self.refused).values())))

    def allowed(self, processes: int) -> tuple[str, ...] | None:
        """The hosts with workers that hold a pretraining over so many processes; None for any.

        Of a host's workers the right one is found by itself: others send the piece away.

        Raises:
            UserError: there are workers, and none does.
        """
        fitting = [worker for worker in self.here if self.facts[worker].holds(processes)]
        if self.here and not fitting:
            largest = max((self.facts[worker] for worker in self.here), key=lambda one: one.gpus or one.cores)
            there = f"{largest.gpus} GPUs" if largest.gpus else f"{largest.cores} cores"
            raise UserError(
                f"pretrain_processes = {processes}: no worker sees so many GPUs or cores, that of {largest.host} has "
                f"{there}; give fewer, or start workers that see more"
            )
        if len(fitting) == len(self.here) and not self.refused:
            return None
        return tuple(sorted({worker.partition("://")[2].rpartition(":")[0].strip("[]") for worker in fitting}))

    def width(self, processes: int) -> int:
        """For how many pieces a pretraining over so many processes counts: GPUs are its worker's own, cores are not."""
        return 1 if processes == 1 or all(self.facts[worker].gpus for worker in self.here) else processes

    def notes(self) -> list[str]:
        """Which workers were left out, and in what the others differ so that the last bits of numbers may."""
        return [*(f"left out: {why}" for why in self.refused.values()), *mixed_notes(list(self.facts.values()))]


def _why_not(found: Any, threads: int, unseen: str | None) -> str:
    """Why a worker will not do; "" for one that will, or that is gone again."""
    if threads > 1:
        return (
            f"has {threads} threads: start it with --nthreads 1, and --nworkers as many as it has cores, or GPUs; a "
            "training has one thread"
        )
    if isinstance(found, OSError):
        return ""
    if not isinstance(found, WorkerFacts):
        return f"cannot run this package ({found}): install unmask of this version there"
    if differing := found.differing(describe_worker(), ALIKE):
        return f"has {differing}: install the same versions there"
    return f"({found.host}) does not see {unseen}: give paths that all machines have" if unseen else ""


def mixed_notes(workers: Sequence[WorkerFacts]) -> list[str]:
    """What differs between workers in a way that may change the last bits of numbers, and on which hosts."""
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
