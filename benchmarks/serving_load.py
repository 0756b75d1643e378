"""Requests at a fixed rate to a page that runs: how long they take, and how many fail.

    sigjepa serve index=my_index port=8000
    python benchmarks/serving_load.py --port 8000 --index my_index

A request goes out when its time has come, whether the ones before are answered or not, and its time counts from then.
The aim is 50 requests a second for a minute on two cores without an error.
"""

import argparse
import asyncio
import json
import time
import urllib.parse
from pathlib import Path

from sigjepa.serving.code_search import CodeSearch
from sigjepa.store.files import write_json


async def ask(host: str, port: int, query: str, due: float) -> tuple[float, bool]:
    """Return the milliseconds from when a request was due until it was answered, and whether it was."""
    await asyncio.sleep(max(0.0, due - time.perf_counter()))
    try:
        reader, writer = await asyncio.open_connection(host, port)
        path = f"/api/search?q={urllib.parse.quote(query)}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        good = head.startswith(b"HTTP/1.1 200") and len(json.loads(body)["results"]) > 0
    except (OSError, ValueError):
        good = False
    return 1000 * (time.perf_counter() - due), good


async def load(host: str, port: int, queries: list[str], rate: float, seconds: float) -> list[tuple[float, bool]]:
    """Return what each request came to."""
    began = time.perf_counter() + 0.1
    tasks = [
        ask(host, port, queries[number % len(queries)], began + number / rate) for number in range(int(rate * seconds))
    ]
    return await asyncio.gather(*tasks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--index", type=Path, required=True, help="whose signatures are asked")
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/serving_load.json"))
    options = parser.parse_args()
    queries = CodeSearch.open(options.index).functions.table.column("signature").to_pylist()
    queries = [query for query in queries if len(query) < 1000]
    found = asyncio.run(load(options.host, options.port, queries, options.rate, options.seconds))
    times = sorted(each for each, _ in found)
    record = {
        "requests": len(found),
        "errors": sum(not good for _, good in found),
        **{f"p{share}_ms": times[int(share / 100 * (len(times) - 1))] for share in (50, 95, 99, 100)},
    }
    write_json(options.output, record)
    print(json.dumps(record))


if __name__ == "__main__":
    main()
