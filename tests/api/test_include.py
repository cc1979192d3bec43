from __future__ import annotations

import pytest
from stretto.api.include import Relation, include_of
from stretto.host.errors import BadRequestError

LEAF = Relation(entity="Leaf")
TREE = Relation(entity="Tree", relations={"leaf": LEAF})
LEAF.relations["tree"] = TREE


@pytest.mark.parametrize(
    ("paths", "tree"),
    [
        ([], {}),
        (["leaf"], {"leaf": {}}),
        (["leaf.tree", "leaf", "leaf.tree.leaf"], {"leaf": {"tree": {"leaf": {}}}}),
    ],
)
def test_paths_become_a_tree(paths, tree):
    assert include_of({"include": paths}, TREE) == tree


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["bogus"], "Unknown or bad relationship Tree(bogus)"),
        ([""], "Unknown or bad relationship Tree()"),
        (["leaf."], "Unknown or bad relationship Leaf()"),
        (["leaf.bogus"], "Unknown or bad relationship Leaf(bogus)"),
        (["leaf.tree.leaf.tree"], 'include: "leaf.tree.leaf.tree" leads too far'),
        (["leaf"] * 33, "33 times include is too often"),
    ],
)
def test_what_is_no_relation(paths, words):
    with pytest.raises(BadRequestError) as caught:
        include_of({"include": paths}, TREE)
    assert str(caught.value).startswith(words)
