"""The directory of a one-machine cluster says whether its DynamoDB was ever written to."""

from pathlib import Path

from paceline_local.data_dir import ClusterDir
from paceline_local.plan import make_plan


def test_the_dynamodb_of_a_new_directory_is_untouched_until_a_node_takes_the_file_away(
    tmp_path: Path,
) -> None:
    for directory in (ClusterDir.open_temporary(), ClusterDir.open(tmp_path / "d", make_plan())):
        assert directory.untouched_file().is_file()
        directory.close()


def test_that_of_a_directory_in_use_before_is_not(tmp_path: Path) -> None:
    first = ClusterDir.open(tmp_path, make_plan())
    left = first.untouched_file()
    assert left.is_file()
    first.close()
    second = ClusterDir.open(tmp_path, make_plan())
    assert not second.untouched_file().exists()
    assert not left.exists()  # a start that was given up had left it there
    second.close()


def test_nor_that_of_a_directory_whose_nodes_were_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "dynamodb").mkdir()
    directory = ClusterDir.open(tmp_path, make_plan())
    assert not directory.untouched_file().exists()
    directory.close()
