import json

import performance_page


def test_the_page_says_what_was_met_missed_and_not_measured(tmp_path):
    counts = {
        "launches_a_step": 151.0,
        "cudaStreamSynchronize_in_10_steps": 1.0,
        "cudaDeviceSynchronize_in_10_steps": 1.0,
    }
    gpu = {"device": "a card", "parts": {"operations": {"recorded": counts}}}
    (tmp_path / "gpu_training.json").write_text(json.dumps(gpu))
    spread = {"median": 1.2, "least": 1.1, "most": 1.3}
    reads = {"times": {"memory map": spread}, "peak_mib": {"sigjepa": 7.0}}
    (tmp_path / "shard_reading.json").write_text(json.dumps(reads))
    (tmp_path / "command_start.json").write_text(json.dumps({"ratios": {"a --help": 1.5, "b --help": 2.5}}))
    page = tmp_path / "performance.md"
    performance_page.main(["--results", str(tmp_path), "--page", str(page)])
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:5]]
        for line in page.read_text().splitlines()
        if len(cells := line.split("|")) > 4
    }
    assert "a card" in page.read_text()
    assert rows["launches a step, and graphs"] == ["≤ 150", "151", "missed"]
    assert rows["waits in 10 steps, and graphs"] == ["≤ 1", "1", "met"]
    assert rows["shard reads: time, of memory map"] == ["≤ 1.3", "1.2 (1.1 to 1.3)", "met"]
    assert "| 7 MiB " in page.read_text()
    assert rows["--help, slowest command: time, of import hydra"] == ["≤ 2", "2.5", "missed"]
    assert rows["Exp 1.4, 39 epochs"] == ["≤ 60 s", "not measured", ""]
