"""What MongoDB's own ``explain`` says about a query, as an `Explanation`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from divan.query import Explanation, Query
from pymongo.collection import Collection

from divan_mongo.filters import Plan

_UNBOUNDED = (["[MinKey, MaxKey]"], ["[MaxKey, MinKey]"])


def explain(collection: Collection[dict[str, Any]], todo: Plan, order: list[tuple[str, int]] | None) -> Explanation:
    """Ask MongoDB how it would search.

    Args:
        collection: The documents.
        todo: The planned filter.
        order: The sort that MongoDB is left to do, or `None`.
    """
    command: dict[str, Any] = {"find": collection.name, "filter": todo.filter}
    if order:
        command["sort"] = dict(order)
    answer = collection.database.command("explain", command, verbosity="queryPlanner")
    stages = [
        stage for stage in _stages(answer.get("queryPlanner", {}).get("winningPlan", {})) if stage.get("stage") != "EOF"
    ]
    names = [stage["indexName"] for stage in stages if "indexName" in stage]
    reads_all = any(stage.get("stage") == "COLLSCAN" or _is_unbounded(stage) for stage in stages)
    return Explanation(
        pushed=dict(Query(todo.pushed)),
        residual=dict(Query(todo.left)),
        sorted_by_store=bool(order),
        index=names[0] if names else None,
        scan=reads_all or not names or not todo.filter,
        detail=" < ".join(
            f"{stage['stage']} {stage['indexName']}" if "indexName" in stage else stage["stage"] for stage in stages
        ),
    )


def _stages(plan: Any) -> Iterator[dict[str, Any]]:
    """Every stage of a winning plan, outermost first, those of several shards included."""
    if isinstance(plan, list):
        for item in plan:
            yield from _stages(item)
    elif isinstance(plan, dict):
        if "stage" in plan:
            yield plan
        for name, value in plan.items():
            if name in ("inputStage", "inputStages", "queryPlan", "winningPlan", "shards", "outerStage", "innerStage"):
                yield from _stages(value)


def _is_unbounded(stage: dict[str, Any]) -> bool:
    """Whether an index is read from end to end."""
    bounds: dict[str, Any] = stage.get("indexBounds") or {}
    return bool(bounds) and all(bound in _UNBOUNDED for bound in bounds.values())
