"""``python -m divan.testing URL [pytest arguments]``: run the suite against a database."""

from __future__ import annotations

import sys

from divan.testing import run


def main(arguments: list[str]) -> int:
    """Run the suite; the exit code is pytest's."""
    options = [argument for argument in arguments if argument not in ("--url", "--divan-url")]
    urls = [argument for argument in options if "://" in argument]
    if len(urls) != 1:
        sys.stderr.write("usage: python -m divan.testing URL [pytest arguments]\n")
        return 4
    return run(urls[0], *(argument for argument in options if argument != urls[0]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
