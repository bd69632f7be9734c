"""Every module and environment: written evenly, valid, and what its own tests claim."""

import re
from pathlib import Path

import pytest

TERRAFORM = Path(__file__).parents[2] / "terraform"
BLOCK = re.compile(r"^((?:variable|output) .+?) \{(.*?)^\}", re.DOTALL | re.MULTILINE)
FOLDERS = sorted(
    {str(one.parent.relative_to(TERRAFORM)) for one in TERRAFORM.glob("**/versions.tf")}
)

pytestmark = pytest.mark.terraform


def test_they_are_written_evenly(terraform):
    assert terraform.say(".", "fmt", "-check", "-recursive").stdout == ""


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_is_valid_and_its_tests_pass(terraform, folder):
    terraform.begin(folder)
    assert "The configuration is valid" in terraform.say(folder, "validate", "-no-color").stdout
    if Path(TERRAFORM, folder, "tests").is_dir():
        said = terraform.say(folder, "test", "-no-color").stdout
        assert " 0 failed" in said


def test_every_variable_and_output_is_described():
    for file in TERRAFORM.glob("**/*.tf"):
        for head, body in BLOCK.findall(file.read_text()):
            assert "\n  description = " in body, f"{file}: {head}"
