"""`python -m unmask.theory verify | sweep | report`."""

import sys
from typing import Annotated

import tyro

from unmask.errors import UserError
from unmask.theory.commands import SweepConfig, TheoryReportConfig, VerifyConfig

Command = (
    Annotated[VerifyConfig, tyro.conf.subcommand("verify")]
    | Annotated[SweepConfig, tyro.conf.subcommand("sweep")]
    | Annotated[TheoryReportConfig, tyro.conf.subcommand("report")]
)


def main(arguments: list[str] | None = None) -> int:
    """Parse and run; a bad value is one line on stderr and exit code 2."""
    config = tyro.cli(Command, args=arguments, prog="unmask theory")
    from unmask.theory import run

    try:
        if isinstance(config, VerifyConfig):
            return run.verify(config)
        return run.sweep(config) if isinstance(config, SweepConfig) else run.report(config)
    except UserError as problem:
        sys.stderr.write(f"unmask theory: {problem}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
