"""The help of every command: each flag with its default, the same flags as the reference, an example that is right."""

import re
import shlex

import pytest
from reference import flags

from unmask.cli.main import COMMANDS, main, parse

EXAMPLE = re.compile(r"^Example: (.+)$", re.M)


@pytest.fixture
def shown(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What --help prints where it has room for one column."""
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as end:
        main([*request.param.split(), "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(("name", "shown"), [(name, name) for name in COMMANDS], indirect=["shown"])
def test_help(name: str, shown: str) -> None:
    """Flags are those of the reference, nothing more; every one says its default or that it is required."""
    listed: dict[str, str] = {}
    flag = ""
    for line in shown.splitlines():
        if begins := re.match(r"^(?:│ | {1,2})(--[a-z][\w.-]*)", line):
            flag = begins[1]
        listed[flag] = listed.get(flag, "") + " " + line.strip("│ ")
    del listed[""]
    wanted = {flag.name: flag for flag in flags(COMMANDS[name]) if flag.name.startswith("--")}
    assert set(listed) == set(wanted)
    for flag, line in listed.items():
        assert "(default: " in line or "(required)" in line, line
        assert wanted[flag].meaning.split()[0] in line, f"{flag} is not explained"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_example_of_the_help_is_right(name: str) -> None:
    """One example a command, and the command line takes it."""
    examples = EXAMPLE.findall("\n".join(line.strip() for line in (COMMANDS[name].__doc__ or "").splitlines()))
    assert len(examples) == 1
    words = shlex.split(examples[0])
    assert words[: 1 + len(name.split())] == ["unmask", *name.split()]
    assert parse(words[1:]) is not None
