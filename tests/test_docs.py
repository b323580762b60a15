"""The documentation site: it builds without a warning, and asks for no other host."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.nightly  # builds the whole site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built strictly: a dead link, a missing anchor or a page that is not listed fails."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_reference_holds_every_public_name(site):
    import sakd_dense

    page = (site / "reference" / "api.html").read_text()
    headings = set(re.findall(r'<h[23] id="([\w.]+)"', page))
    for name in set(sakd_dense.__all__) - {"__version__"}:
        assert any(h.endswith(f".{name}") for h in headings), name
    assert ":class:" not in page and ":func:" not in page


def test_the_reference_holds_every_tool_and_config(site):
    tools = (site / "reference" / "tools.html").read_text()
    assert "--teacher-checkpoint" in tools and "usage: test.py" in tools
    configs = (site / "reference" / "configs.html").read_text()
    assert all(c.stem in configs for c in (ROOT / "configs").glob("*.py"))


def test_models_are_those_of_the_records(site):
    page = (site / "reference" / "models.html").read_text()
    teacher = json.loads((ROOT / "benchmarks/results/cifar10-half/teacher-seed0.json").read_text())
    assert f"<td>{teacher['rows'][0]['metrics']['accuracy/top1']:.1f}</td>" in page
    assert "counts-several" in page and "D = 8" in page


def test_no_page_loads_anything_from_another_host(site):
    loads = re.compile(
        r"""<(?:script|img|iframe|link rel="stylesheet")[^>]+(?:src|href)="https?:"""
    )
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert not loads.search(text) and "unpkg.com" not in text, page
