"""Measure how fast medusa-grace is, as ratios between things that take turns in the same run, where there are two.

parts:
  a  cancels to the committed answer, against pgbench running the same statements at 1, 8 and 32 clients
  b  cancels to "voided" with workers and Stripe in the loop, against Medusa's own cancel (needs Node 20)
  c  captures that are due at once, by 1, 2 and 4 workers, against dramatiq's own no-op drain
  d  a shop of 1,000,000 orders against one of 10,000: cancel, look for new payments, plans
  e  memory, latency while captures drain, far more clients than can be served
  f  out of the box, Stripe at 150 ms: captures against the budget, voids while 10,000 captures are due
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.benchmarks import cancels, captures, growth, house, rush, voids
from tests.benchmarks.figures import MARKS, Figure, as_json, into_page, say, table
from tests.benchmarks.scale import FULL, QUICK, SMOKE
from tests.benchmarks.testbed import Testbed

PARTS = {
    "a": cancels.measure,
    "b": voids.measure,
    "c": captures.measure,
    "d": growth.measure,
    "e": house.measure,
    "f": rush.measure,
}
_SCALES = {"full": FULL, "quick": QUICK, "smoke": SMOKE}


def main() -> int:
    """Read the arguments, measure, print. 0 whatever the figures are: they are for people to judge."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which of {' '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", dest="scale", action="store_const", const="quick", help="a third of the time")
    parser.add_argument("--smoke", dest="scale", action="store_const", const="smoke", help="only whether it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table of all parts between its marks")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {' '.join(sorted(unknown))}; there are {' '.join(PARTS)}")
    if given.page and set(given.parts or PARTS) != set(PARTS):
        parser.error("--page replaces the whole table: it goes with all parts or none named")
    if given.page and given.scale == "smoke":
        parser.error("--page is for figures, which --smoke has none of")
    if given.page and not (given.page.is_file() and MARKS[0] in given.page.read_text()):
        parser.error(f"--page: {given.page} is not there, or has no line {MARKS[0]}")
    if given.json and not given.json.parent.is_dir():
        parser.error(f"--json: there is no folder {given.json.parent}")
    scale = _SCALES[given.scale or "full"]
    figures: list[Figure] = []
    with Testbed(scale.kinds) as testbed:
        for part in given.parts or PARTS:
            say(f"part {part}")
            testbed.renew()
            figures += PARTS[part](scale, testbed)
    sys.stdout.write(table(figures) + "\n")
    if given.json:
        given.json.write_text(as_json(figures))
    if given.page:
        into_page(given.page, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
