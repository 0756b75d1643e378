"""One stage of the chain at one size, in a process of its own: prints its time, memory and disk as JSON.

    python benchmarks/scale/stages.py mining --functions 10000 --folder scale

Earlier stages must be there.
"""

import argparse
import json
from pathlib import Path


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage")
    parser.add_argument("--functions", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--packages", nargs="*", help="of which functions are made (default: all that are installed)")
    options = parser.parse_args(words)
    from chain import Chain, measure  # noqa: PLC0415 - workers of a stage read this file, and need none of it

    print(json.dumps(measure(options.stage, Chain(options.functions, options.folder, options.packages))))


if __name__ == "__main__":
    main()
