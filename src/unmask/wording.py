"""Grammar of messages and pages."""


def plural(count: int | str, noun: str, form: str | None = None) -> str:
    """A count, as it is written, with its noun: 1 image, 3 images; `form` is a plural that is not noun + s."""
    return f"{count} {noun if str(count) == '1' else form or noun + 's'}"
