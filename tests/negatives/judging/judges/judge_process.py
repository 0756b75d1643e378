"""Judges through a ledger in a process of its own: `python judge_process.py <url> <data dir> <pairs> <concurrency>`."""

import signal
import sys
from pathlib import Path

from chat_server import MODEL, make_request

from sigjepa.negatives.judging.judges.openai_judge import OpenAIJudge
from sigjepa.negatives.judging.runner import ask

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is started with it ignored
    url, data_dir, pairs, concurrency = sys.argv[1:]
    judge = OpenAIJudge(url, MODEL, concurrency=int(concurrency))
    ask(judge, [make_request(number) for number in range(int(pairs))], Path(data_dir))
