"""What is said once is said loudly; what is said again is whispered."""

from logging import DEBUG, INFO, WARNING

from mesh.runtime import told as told_module
from mesh.runtime.told import Told


def test_a_repetition_is_whispered():
    """The first time counts, and whatever differs from what was said last."""
    told = Told()
    assert told.level("bob", "no", WARNING) == WARNING
    assert told.level("bob", "no", WARNING) == DEBUG
    assert told.level("carol", "no", INFO) == INFO
    assert told.level("bob", "never", WARNING) == WARNING
    assert told.level("bob", "no", WARNING) == WARNING


def test_what_has_changed_meanwhile_is_news_again():
    """After `forget`, of which a subject nobody heard of takes no notice."""
    told = Told()
    told.level("bob", "no", WARNING)
    told.forget("bob")
    told.forget("carol")
    assert told.level("bob", "no", WARNING) == WARNING


def test_the_memory_is_bounded():
    """The subject that was quiet for longest is forgotten first."""
    told = Told()
    most = told_module._SUBJECTS
    for subject in [*range(most), 0, most]:
        told.level(subject, "no", WARNING)
    assert told.level(0, "no", WARNING) == DEBUG
    assert told.level(1, "no", WARNING) == WARNING
