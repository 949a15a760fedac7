"""The examples of CONTRIBUTING.md run, and print what is shown below them."""

import contextlib
import io
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTION = re.search(r"^## A new op$(.*?)(?=^## |\Z)", PAGE, re.M | re.S)[1]
EXAMPLES = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", SECTION, re.M | re.S)


def printed(code, names):
    """What the code prints; it uses these names and adds its own."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, names)
    return out.getvalue()


def test_a_new_op_can_be_made_as_it_is_shown(clean):
    assert len(EXAMPLES) == SECTION.count("```python") == 7
    names: dict = {}
    for code, expected in EXAMPLES:
        assert printed(code, names) == expected


def test_a_definition_takes_at_most_nine_lines():
    definitions = re.findall(r"^\w+ = mg\.(?:elementwise|primitive)\(.*?\)$", SECTION, re.M | re.S)
    assert len(definitions) == 6
    assert max(len(definition.splitlines()) for definition in definitions) + 1 <= 9  # 1 for its name in __all__


WITH_TESTS = re.findall(r"^## (A new (?:layer|optimizer|schedule))$.*?^```python\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.mark.parametrize(("title", "code"), WITH_TESTS, ids=[title for title, _ in WITH_TESTS])
def test_a_part_passes_the_test_that_is_shown_with_it(title, code):
    names: dict = {"__name__": "example"}
    exec(code, names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 1
    tests[0]()


@pytest.mark.parametrize(("title", "code"), WITH_TESTS, ids=[title for title, _ in WITH_TESTS])
def test_a_part_and_its_test_take_at_most_twelve_lines(title, code):
    lines = [line for line in code.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(lines) <= 12


def test_layer_optimizer_and_schedule_are_all_there():
    assert [title for title, _ in WITH_TESTS] == ["A new layer", "A new optimizer", "A new schedule"]
