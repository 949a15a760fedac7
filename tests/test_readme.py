"""What the README shows is what happens."""

import os
import re
import subprocess
import sys
from pathlib import Path

from demos.lesson import LESSONS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def test_the_script_prints_what_stands_below_it(tmp_path):
    script, output = blocks("python")[0], blocks("text")[0]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}  # as on a machine that never ran it
    command = [sys.executable, "-X", "utf8", "-c", script]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8")
    assert result.stderr == ""
    assert result.stdout.splitlines() == output.splitlines()


def test_the_script_has_ten_lines():
    assert len([line for line in blocks("python")[0].splitlines() if line]) <= 10


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_lessons_are_those_of_the_command():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|$", README, re.M)
    assert rows == [(name, question[0].upper() + question[1:]) for name, (question, *_) in LESSONS.items()]
    assert f"There are {len(LESSONS)} lessons" in README
