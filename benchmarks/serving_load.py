"""Requests at a fixed rate to a page that runs: how long they take, and how many fail.

    sigjepa serve index=my_index port=8000
    python benchmarks/serving_load.py --port 8000 --index my_index --process 4711  # that of the page

A request goes out when its time has come, whether the ones before are answered or not, and its time counts from then.
The aim is 50 requests a second for a minute on two cores without an error; then a request may take 40 ms of CPU time,
which is told where the page's process is named: other work on the machine does not change it much.
"""

import argparse
import asyncio
import json
import os
import time
import urllib.parse
from pathlib import Path

from sigjepa.serving.code_search import CodeSearch
from sigjepa.store.files import write_json


async def ask(host: str, port: int, query: str, due: float) -> tuple[float, int]:
    """Return the milliseconds from when a request was due until it was answered, and the status; 0 for no answer."""
    await asyncio.sleep(max(0.0, due - time.perf_counter()))
    try:
        reader, writer = await asyncio.open_connection(host, port)
        path = f"/api/search?q={urllib.parse.quote(query)}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        if status == 200 and not json.loads(body)["results"]:
            status = 0
    except (OSError, ValueError, IndexError):
        status = 0
    return 1000 * (time.perf_counter() - due), status


async def load(host: str, port: int, queries: list[str], rate: float, seconds: float) -> list[tuple[float, int]]:
    """Return what each request came to."""
    began = time.perf_counter() + 0.1
    tasks = [
        ask(host, port, queries[number % len(queries)], began + number / rate) for number in range(int(rate * seconds))
    ]
    return await asyncio.gather(*tasks)


def cpu_seconds(process: int) -> float:
    """Return the CPU time that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--index", type=Path, required=True, help="whose signatures are asked")
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--process", type=int, help="number of the page's process")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/serving_load.json"))
    options = parser.parse_args()
    queries = CodeSearch.open(options.index).functions.table.column("signature").to_pylist()
    queries = [query for query in queries if len(query) < 1000]
    before = cpu_seconds(options.process) if options.process else 0.0
    found = asyncio.run(load(options.host, options.port, queries, options.rate, options.seconds))
    times = sorted(each for each, status in found if status == 200) or [0.0]
    refused = sum(status in (429, 503) for _, status in found)
    record = {
        "requests": len(found),
        "refused": refused,
        "errors": sum(status != 200 for _, status in found) - refused,
        **{f"p{share}_ms": times[int(share / 100 * (len(times) - 1))] for share in (50, 95, 99, 100)},
    }
    if options.process:
        record["cpu_ms_a_request"] = 1000 * (cpu_seconds(options.process) - before) / max(len(times), 1)
    write_json(options.output, record)
    print(json.dumps(record))


if __name__ == "__main__":
    main()
