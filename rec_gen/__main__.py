"""`python -m rec_gen`, the same as `recgen`."""

from rec_gen.cli import main

if __name__ == "__main__":
    main()
