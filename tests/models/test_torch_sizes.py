"""Files of ``torch.export`` that leave sizes open, compiled for several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from colt.errors import InputError
from colt.models.bucket import compile_bucket
from colt.models.dependent_sizes import dependent_size
from colt.models.options import CompileOptions
from colt.models.other_sizes import compile_others
from colt.models.sized import SizedModel
from colt.models.tuning import TunedTasks
from colt.tvm.models.sources import open_model

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.real  # builds libraries
WIDTH, ROOM = 16, 12


class Reader(torch.nn.Module):  # type: ignore[misc]
    """Attention over a sequence of words, of which there may be ``ROOM``."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.places = torch.nn.Embedding(20, WIDTH), torch.nn.Embedding(ROOM, WIDTH)
        self.project, self.norm = torch.nn.Linear(WIDTH, 3 * WIDTH), torch.nn.LayerNorm(WIDTH)

    def forward(self, ids: Any) -> Any:
        """The words, each after it has looked at the others."""
        x = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        q, k, v = self.project(self.norm(x)).reshape(*x.shape[:2], 3, 2, WIDTH // 2).permute(2, 0, 3, 1, 4)
        found = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        return x + found.transpose(1, 2).reshape(x.shape)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reader") / "reader.pt2"
    ids = torch.arange(10).reshape(2, 5)
    shapes = {"ids": {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}}
    torch.export.save(torch.export.export(Reader().eval(), (ids,), dynamic_shapes=shapes), path)
    return path


@pytest.fixture(scope="module")
def model(file: Path) -> SizedModel:
    """It for two lengths; nothing is tuned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("colt.models.compile.tune_tasks", lambda *_: TunedTasks({}, {}))
        patch.setattr("colt.models.bucket.others_apart", compile_others)
        sizes = {"ids.1": (4, 8)}
        return compile_bucket(open_model(file, None, None, list(sizes)), CompileOptions(sizes=sizes, threads=2))


@pytest.mark.parametrize("length", [4, 8, 1, 3, 7])
def test_every_length_is_computed(model: SizedModel, length: int) -> None:
    ids = torch.randint(0, 20, (2, length), generator=torch.Generator().manual_seed(length))
    with torch.inference_mode():
        expected = Reader().eval()(ids)
    torch.testing.assert_close(model(ids), expected, rtol=1e-4, atol=1e-5)


def test_what_the_program_does_not_take_is_refused(model: SizedModel) -> None:
    """It has room for 12 words: twice the largest length cannot be compared."""
    assert model.report.others is not None
    least, most = model.report.others.limits["ids.1"]
    assert (least, most) == (1, 8)
    with pytest.raises(InputError, match=r"ids\.1 from 1 to 8; .*: ids\.1 is 13"):
        model(np.ones((2, 13), "int64"))


class Pairs(torch.nn.Module):  # type: ignore[misc]
    """Each row with the sum of two of another tensor."""

    def forward(self, x: Any, y: Any) -> Any:
        """Twice as many rows of ``y`` as of ``x``."""
        return x + y.reshape(x.shape[0], 2, -1).sum(1)


def test_a_size_that_depends_on_another_has_to_fit(tmp_path: Path) -> None:
    rows, path = torch.export.Dim("rows", min=2, max=64), tmp_path / "pairs.pt2"
    shapes = ({0: rows}, {0: 2 * rows})
    torch.export.save(torch.export.export(Pairs(), (torch.ones(4, 6), torch.ones(8, 6)), dynamic_shapes=shapes), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("colt.models.compile.tune_tasks", lambda *_: TunedTasks({}, {}))
        patch.setattr("colt.models.bucket.others_apart", compile_others)
        sizes = {"x.0": (2, 4)}
        model = compile_bucket(open_model(path, None, None, list(sizes)), CompileOptions(sizes=sizes, threads=2))
    assert [one.shape for one in model.report.inputs] == [("x.0", 6), ("2*x.0", 6)]
    x, y = torch.rand(3, 6), torch.rand(6, 6)
    torch.testing.assert_close(model(x, y), Pairs()(x, y))
    for wrong, size in ((y[:5], 5), (torch.cat([y, y]), 12)):
        with pytest.raises(InputError, match=rf"2\*x\.0 is {size} for x\.0=3"):
            model(x, wrong)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2*n", 6),
        ("n + 1", 4),
        ("n*m.0 - 2", 13),
        ("(n//2)", 1),
        ("-n", -3),
        ("n", 3),
        ("k", None),
        ("n**9", None),
        ("n//0", None),
        ("__import__('os')", None),
    ],
)
def test_dependent_sizes_are_sums_and_products(text: str, found: int | None) -> None:
    assert dependent_size(text, {"n": 3, "m.0": 5}) == found


def test_a_size_that_is_not_named_is_that_of_the_example(model: SizedModel) -> None:
    assert model.report.inputs[0].shape == (2, "ids.1")
    with pytest.raises(InputError, match="of another shape"):
        model(np.ones((3, 4), "int64"))


def test_sizes_that_are_none_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"leaves no size length open; there are ids\.0, ids\.1"):
        open_model(file, None, None, ["length"])
    fixed = tmp_path / "fixed.pt2"
    torch.export.save(torch.export.export(torch.nn.Linear(4, 4), (torch.ones(2, 4),)), fixed)
    with pytest.raises(InputError, match="export it with dynamic_shapes"):
        open_model(fixed, None, None, ["input.0"])
