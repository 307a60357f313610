"""The file that says that no cluster has written to the DynamoDB behind this one."""

from pathlib import Path

from node.founding import take_untouched


def test_only_the_first_epoch_ever_finds_an_untouched_dynamodb(tmp_path: Path) -> None:
    path = tmp_path / "untouched"
    path.touch()
    assert take_untouched(path)
    assert not path.exists()
    assert not take_untouched(path)  # another epoch, another node, or the same one started again


def test_without_such_a_file_an_earlier_cluster_may_have_written(tmp_path: Path) -> None:
    assert not take_untouched(None)
    assert not take_untouched(tmp_path / "untouched")


def test_a_file_that_cannot_be_taken_away_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "untouched"
    path.mkdir()  # root may take away any file, so that this stands for 'not permitted'
    assert not take_untouched(path)
