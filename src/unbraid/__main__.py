"""Lets `python -m unbraid` do what `unbraid` does."""

from unbraid.cli import main

main()
