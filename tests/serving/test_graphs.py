"""A dense student as a graph, in another runtime."""

import numpy as np
import pytest
import torch
from serving_students import build_student

from sigjepa.errors import SigjepaError
from sigjepa.serving import graphs
from sigjepa.serving.graphs import DensePredictor, export_graph, unfused


@pytest.fixture(scope="module")
def student():
    return build_student("sig_predictor")


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(5)
    return torch.randn(4, 7, 384, generator=generator), torch.arange(7) < torch.tensor([[7], [1], [3], [5]])


def expected(student, inputs):
    with torch.no_grad():
        return DensePredictor(student.model)(*inputs)


@pytest.mark.slow  # ten seconds of exporting; torch_export below goes through the same code of ours
def test_onnx_predicts_what_the_student_does(student, inputs, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = export_graph(student, tmp_path, "onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["student.onnx"]  # the weights are in it
    session = onnxruntime.InferenceSession(path)
    names = ("signature_states", "signature_mask")
    (found,) = session.run(None, {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)})
    np.testing.assert_allclose(found, expected(student, inputs), atol=1e-5)


def test_torch_export_predicts_what_the_student_does(student, inputs, tmp_path):
    program = torch.export.load(export_graph(student, tmp_path, "torch_export"))
    torch.testing.assert_close(program.module()(*inputs), expected(student, inputs), atol=1e-5, rtol=0)


def test_a_graph_that_predicts_something_else_is_not_kept(student, tmp_path, monkeypatch):
    monkeypatch.setattr(graphs, "TOLERANCE", -1.0)
    with pytest.raises(SigjepaError, match=r"student\.pt2"):
        export_graph(student, tmp_path, "torch_export")
    assert list(tmp_path.iterdir()) == []


def test_a_student_of_words_is_refused(tmp_path):
    with pytest.raises(SigjepaError, match="signature_terms"):
        export_graph(build_student("flagship"), tmp_path, "onnx")


def test_layers_are_fused_again_afterwards():
    before = torch.backends.mha.get_fastpath_enabled()
    with unfused():
        assert not torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.mha.get_fastpath_enabled() == before
