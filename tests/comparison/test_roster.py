"""Workers as they join: who will do, who is left out, and what is told of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from unmask.comparison.roster import Roster, mixed_notes
from unmask.comparison.worker_side import WorkerFacts, describe_worker, unseen_path
from unmask.errors import UserError

OWN = describe_worker()


@dataclass
class Cluster:
    """A client whose workers answer what they are told to."""

    answers: dict[str, Any]
    threads: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    unseen: dict[str, str] = field(default_factory=dict)

    def nthreads(self) -> dict[str, int]:
        """One each, where nothing else is said."""
        return {worker: self.threads.get(worker, 1) for worker in self.answers}

    def run(self, question: Any, *given: Any, workers: Sequence[str], on_error: str) -> dict[str, Any]:
        """What these answer."""
        if question is unseen_path:
            assert given == (("/shared",),)
            return {worker: self.unseen.get(worker) for worker in workers}
        self.asked += workers
        return {worker: self.answers[worker] for worker in workers}


def _other(**packages: str) -> WorkerFacts:
    return replace(OWN, packages=tuple((dict(OWN.packages) | packages).items()))


@pytest.mark.parametrize(
    ("answer", "threads", "said"),
    [
        (
            _other(unmask="9"),
            1,
            r"tcp://s: the worker tcp://w:2 has unmask 9, the client .*: install the same versions",
        ),
        (replace(OWN, python="2.7"), 1, r"has Python 2\.7"),
        (ImportError("No module named 'unmask'"), 1, r"cannot run this package \(No module named 'unmask'\)"),
        (OWN, 8, r"has 8 threads: start it with --nthreads 1"),
    ],
)
def test_workers_that_will_not_do(answer: Any, threads: int, said: str) -> None:
    """Refused at the beginning. One that joins later is left out, told of, and asked once; alone it ends the work."""
    with pytest.raises(UserError, match=said):
        Roster(Cluster({"tcp://a:1": OWN, "tcp://w:2": answer}, {"tcp://w:2": threads}), "tcp://s").meet(first=True)
    cluster = Cluster({"tcp://a:1": OWN})
    roster = Roster(cluster, "tcp://s")
    assert roster.meet(first=True) == ["tcp://a:1"]
    assert roster.allowed(1) is None
    cluster.answers["tcp://w:2"], cluster.threads["tcp://w:2"] = answer, threads
    assert roster.meet() == roster.meet() == []
    assert cluster.asked == ["tcp://a:1", "tcp://w:2"]
    assert roster.allowed(1) == ("a",)
    (note,) = roster.notes()
    assert note.startswith("left out: tcp://s: the worker tcp://w:2 ")
    del cluster.answers["tcp://a:1"]
    with pytest.raises(UserError, match=said):
        roster.meet()


def test_workers_that_do_not_see_a_path() -> None:
    """Refused at the beginning, in one line for all of them; left out where they join later."""
    cluster = Cluster({"a": OWN, "b": OWN, "c": OWN}, unseen={"b": "/shared", "c": "/shared"})
    why = rf"s: the worker b \({OWN.host}\) does not see /shared: give paths that all machines have$"
    with pytest.raises(UserError, match=why):
        Roster(cluster, "s", ("/shared",)).meet(first=True)
    roster = Roster(cluster, "s", ("/shared",))
    assert roster.meet() == ["a"]
    assert [note.rpartition(" (")[0] for note in roster.notes()] == [
        "left out: s: the worker b",
        "left out: s: the worker c",
    ]
    assert Roster(cluster, "s").meet(first=True) == ["a", "b", "c"]


def test_workers_that_are_refused_later() -> None:
    """What was said of others before is not said again; without any left the work ends."""
    roster = Roster(Cluster({"a": OWN, "b": OWN, "c": ImportError("no")}), "s")
    assert roster.meet() == ["a", "b"]
    roster.refuse({"a": "", "b": ""}, first=True)
    roster.refuse({"b": "cannot read"})
    assert roster.here == ("a",)
    with pytest.raises(UserError, match="the worker a cannot read"):
        roster.refuse({"a": "cannot read"})


def test_a_worker_that_is_gone_again_is_no_misfit() -> None:
    """It may come back."""
    cluster = Cluster({"tcp://a:1": OWN, "tcp://w:2": OSError("closed")})
    roster = Roster(cluster, "tcp://s")
    assert roster.meet(first=True) == ["tcp://a:1"]
    cluster.answers["tcp://w:2"] = OWN
    assert roster.meet() == ["tcp://w:2"]


def test_who_can_spread_a_pretraining() -> None:
    """Workers with as many GPUs, which are their own, or cores, which they share with others of their machine."""
    few, many = replace(OWN, cores=2, gpus=0), replace(OWN, cores=8, gpus=0)
    roster = Roster(Cluster({"tcp://few:1": few, "tcp://[::1]:2": many}), "tcp://s")
    roster.meet(first=True)
    assert roster.allowed(2) is None
    assert roster.allowed(4) == ("::1",)
    assert roster.width(4) == 4
    with pytest.raises(UserError, match=r"pretrain_processes = 9: no worker has so many .* has 8 cores; give fewer"):
        roster.allowed(9)
    roster = Roster(Cluster({"gpus": replace(few, gpus=4)}), "tcp://s")
    roster.meet(first=True)
    assert roster.allowed(4) is None
    assert roster.width(4) == 1


def test_a_mixed_cluster_is_told() -> None:
    """Types of processors, and packages that are not refused, each with its hosts; workers alike say nothing."""
    one = WorkerFacts("a", "first", "Xeon", "3.11", (("numpy", "2.0"), ("torch", "2.9")))
    assert mixed_notes([one, replace(one, address="b")]) == []
    other = replace(one, host="second", processor="EPYC", packages=(("numpy", "2.1"), ("torch", "2.9")))
    processors, packages = mixed_notes([one, other])
    assert "2 types of processors (EPYC on second, Xeon on first)" in processors
    assert "numpy 2.0 on first, 2.1 on second" in packages


def test_a_late_worker_of_another_kind_is_told() -> None:
    """As soon as it joins."""
    cluster = Cluster({"a": OWN})
    roster = Roster(cluster, "tcp://s")
    roster.meet(first=True)
    assert roster.notes() == []
    cluster.answers["b"] = replace(OWN, host="late", processor="another")
    roster.meet()
    assert "another on late" in roster.notes()[0]
