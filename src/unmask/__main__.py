"""The command `unmask`, also as `python -m unmask`."""

from unmask.huge_pages import restart_with_huge_pages


def main() -> None:
    """Start again with huge pages, before anything large is imported, and run the command."""
    restart_with_huge_pages()
    from unmask.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
