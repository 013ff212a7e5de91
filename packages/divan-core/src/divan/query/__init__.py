"""The query language: parsing, and the reference matcher that defines what every filter means.

A driver gets a `Query`: a plain dict in normal form, which also carries its parsed `tree` and `matches`. It pushes down
those items of the tree that its store answers identically, and lets `matches`, or `compile_matcher` of the others,
finish.
"""

from divan.query.finishing import document_order, finish, project
from divan.query.matching import MISSING, Matcher, Query, compile_matcher, rank, resolve, same, sort_key
from divan.query.parsing import Encoder, parse, parse_bound, parse_fields, parse_sort
from divan.query.tree import (
    COMPARISONS,
    ID_PATH,
    LOGICAL,
    And,
    Comparison,
    Explanation,
    Node,
    Not,
    Or,
    SortKey,
    comparisons,
    is_about_id,
    to_dict,
)

__all__ = [
    "COMPARISONS",
    "ID_PATH",
    "LOGICAL",
    "MISSING",
    "And",
    "Comparison",
    "Encoder",
    "Explanation",
    "Matcher",
    "Node",
    "Not",
    "Or",
    "Query",
    "SortKey",
    "comparisons",
    "compile_matcher",
    "document_order",
    "finish",
    "is_about_id",
    "parse",
    "parse_bound",
    "parse_fields",
    "parse_sort",
    "project",
    "rank",
    "resolve",
    "same",
    "sort_key",
    "to_dict",
]
