"""`python -m flipsync.cli` is `flipsync`."""

from flipsync.cli import main

main()
