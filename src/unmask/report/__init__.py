"""Run folders → one self-contained page."""
