import json

from benchmarks import performance_page


def test_the_page_says_what_was_met_missed_and_not_measured(tmp_path):
    counts = {
        "launches_a_step": 151.0,
        "cudaStreamSynchronize_in_10_steps": 1.0,
        "cudaDeviceSynchronize_in_10_steps": 1.0,
    }
    gpu = {"device": "a card", "parts": {"operations": {"recorded": counts}}}
    (tmp_path / "gpu_training.json").write_text(json.dumps(gpu))
    (tmp_path / "training_epoch.json").write_text(json.dumps({"speed_of_bare_loop": 0.9}))
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
    assert rows["an epoch of Exp 1.4: speed of a bare loop"] == ["≥ 0.85", "0.9", "met"]
    assert rows["Exp 1.4, 39 epochs"] == ["≤ 60 s", "not measured", ""]
