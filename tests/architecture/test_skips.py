"""A skip is never silent."""

import pytest

ONE_SKIP = """
import pytest

def test_good():
    '''Good.'''

@pytest.mark.skip(reason="no moon tonight")
def test_moon():
    '''Moon.'''
"""


@pytest.fixture
def project(pytester: pytest.Pytester, root) -> pytest.Pytester:
    """An empty project with this project's conftest."""
    pytester.makeconftest((root / "tests" / "conftest.py").read_text(encoding="utf-8"))
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


def test_a_skip_is_listed_with_its_reason(project):
    """The end of a run names each skipped test and says why; the run is good."""
    project.makepyfile(test_sky=ONE_SKIP)
    result = project.runpytest_inprocess()
    result.stdout.fnmatch_lines(["Skipped: test_sky.py::test_moon: no moon tonight"])
    assert result.ret == 0


def test_a_skip_fails_where_everything_is_required(project):
    """With --require-all a skip makes the exit status 1 and is named."""
    project.makepyfile(test_sky=ONE_SKIP)
    result = project.runpytest_inprocess("--require-all")
    result.stdout.fnmatch_lines(
        ["Skipped: test_sky.py::test_moon: no moon tonight", "--require-all: 1 skipped*"]
    )
    assert result.ret == 1


def test_a_skipped_file_fails_where_everything_is_required(project):
    """A file that skips itself while it is collected is a skip like any other."""
    project.makepyfile(test_sky="import pytest\npytest.importorskip('no_such_module_anywhere')")
    result = project.runpytest_inprocess("--require-all")
    result.stdout.fnmatch_lines(["Skipped: test_sky.py: could not import*"])
    assert result.ret == 1


@pytest.mark.slow
def test_skips_of_several_processes_are_listed_once(project):
    """When tests are shared out to processes, each skip stands in the list once, and fails it."""
    project.makepyfile(
        test_sky=ONE_SKIP, test_sea="import pytest\npytest.importorskip('no_such_module_anywhere')"
    )
    result = project.runpytest_inprocess("-n", "2", "--require-all")
    assert sorted(line[:20] for line in result.outlines if line.startswith("Skipped: ")) == [
        "Skipped: test_sea.py",
        "Skipped: test_sky.py",
    ]
    result.stdout.fnmatch_lines(["--require-all: 2 skipped*"])
    assert result.ret == 1


def test_missing_vectors_are_a_visible_skip(project, monkeypatch):
    """Without the test vectors of others the tests that need them say so."""
    monkeypatch.setenv("NOISEMESH_VECTORS", str(project.path / "nowhere"))
    project.makepyfile(test_vectors="def test_reads(vectors):\n    assert vectors")
    result = project.runpytest_inprocess()
    result.stdout.fnmatch_lines(["Skipped: test_vectors.py::test_reads: no test vectors in *"])


def test_a_run_without_skips_is_good(project):
    """With --require-all a run that skips nothing is good."""
    project.makepyfile(test_sky="def test_good():\n    '''Good.'''")
    assert project.runpytest_inprocess("--require-all").ret == 0
