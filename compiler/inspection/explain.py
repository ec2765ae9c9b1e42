"""Explain: the passes of a recipe as some nodes of a model saw them, and what the nodes became."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from ..errors import Unsupported, UserError
from ..graph import Graph
from ..modes import evaluated
from ..recipe import Recipe
from ..rule import Rule
from ..stage import LOWERING
from ..text import target_name
from .attempts import Attempt, Outcome, Ran, watched_run

Fate: TypeAlias = Outcome | Literal["dropped", "integer", "folded", "unsupported"]
EVAL = "eval mode"


@dataclass(frozen=True)
class Record:
    """Everything that the passes of a recipe tried on a graph, whether or not it can be lowered in the end.

    captured: the graph that is lowered in the end, as it was captured.   ran: the passes in the order they ran.
    stopped: what kept the others from running.
    """

    captured: Graph
    ran: tuple[Ran, ...]
    stopped: UserError | Unsupported | None = None

    @property
    def deployed(self) -> Graph | None:
        """The graph that is lowered, if all passes ran."""
        return None if self.stopped else self.ran[-1].after

    @property
    def graphs(self) -> tuple[Graph, ...]:
        """The graph as captured, and after each pass."""
        return (self.captured, *(ran.after for ran in self.ran))


@dataclass(frozen=True)
class Verdict:
    """What came of a rule, or of a whole pass, at a node.

    at: the node where the rule looked, the explained one or a neighbour whose match it is part of.
    why: the reason of a refusal or a misfit word by word, or what firing did.   what: to which node, or for a pattern
    that differs in a part, which part and what is there instead.
    """

    rule: str
    node: str
    at: str
    outcome: Fate
    why: str = ""
    what: str = ""


@dataclass(frozen=True)
class Chapter:
    """One pass as the explained nodes saw it.

    unseen: rules that looked at none of them -> what they look at.   after: names of the nodes when it had run.
    """

    stage: Literal["prepare", "eval", "lower"]
    name: str
    verdicts: tuple[Verdict, ...]
    unseen: tuple[tuple[str, str], ...]
    after: frozenset[str]


def record(captured: Graph, recipe: Recipe, steps: int, tune: Callable[[Graph], None] = lambda graph: None) -> Record:
    """Run the recipe's passes, those before training and those after, and keep what they tried.

    steps: length of the training that schedules are told of.   tune: calibrates the prepared graph.
    A model whose eval mode is a graph of its own is explained by that: it is what becomes integers.
    """
    subject = recipe.first(replace(captured.twin or captured, evaluation=None))
    ran: list[Ran] = []
    try:
        prepared = watched_run("prepare", subject, recipe.prepare, steps, ran, recipe.stage).graph
        tune(prepared)
        derived = evaluated(prepared)
        ran.append(Ran("eval", EVAL, prepared, derived))
        watched_run("lower", derived, recipe.lower, None, ran, LOWERING)
    except (UserError, Unsupported) as error:
        return Record(subject, tuple(ran), error)
    return Record(subject, tuple(ran))


def explain(record: Record, names: Iterable[str], begin: int) -> list[Chapter]:
    """What each pass made of the nodes, and of what took their places.

    names: of nodes of `record.graphs[begin]`; the pass that made that graph is told too.
    """
    followed = frozenset(names)
    chapters = []
    for ran in record.ran[max(begin - 1, 0) :]:
        chapter = _chapter(ran, followed)
        chapters.append(chapter)
        followed = chapter.after
    return chapters


def _chapter(ran: Ran, followed: frozenset[str]) -> Chapter:
    found: dict[tuple[str, str, str, bool], Verdict] = {}
    seen: set[str] = set()
    made: set[str] = set()
    for attempt in ran.attempts:
        touched = followed & {attempt.node, *attempt.parts, *attempt.made, *attempt.gone}
        made.update(attempt.made)
        again = attempt.node in made - followed and attempt.outcome != "fired"  # a neighbour that is this pass's work
        if not touched or again:
            continue
        seen.add(attempt.rule)
        for node in sorted(touched & {attempt.node} or touched):
            # Rules look again after others fired: only what they said last counts, and that they fired.
            found[attempt.rule, node, attempt.node, attempt.outcome == "fired"] = _verdict(attempt, node)
        if not followed.isdisjoint(attempt.gone):
            followed = followed - set(attempt.gone) | {attempt.became}
    after = followed & {node.name for node in ran.after.nodes}
    dropped = (Verdict("", name, name, "dropped", "no output needs it") for name in sorted(followed - after))
    order = {rule.name: place for place, rule in enumerate(ran.rules)}
    told = sorted(found.values(), key=lambda verdict: order[verdict.rule])
    unseen = tuple((rule.name, _sight(rule)) for rule in ran.rules if rule.name not in seen)
    return Chapter(ran.stage, ran.name, (*told, *dropped), unseen, after)


def _verdict(attempt: Attempt, node: str) -> Verdict:
    why, what = attempt.reason, attempt.there
    if attempt.outcome == "fired":
        why, what = _effect(attempt, node)
    return Verdict(attempt.rule, node, attempt.node, attempt.outcome, why, what)


def _effect(attempt: Attempt, node: str) -> tuple[str, str]:
    """What firing did to a node that the match touched, and the node that it is about."""
    if node in attempt.made:
        return "made", node
    if node in attempt.gone:
        return "replaced by", attempt.became
    if attempt.node in attempt.gone:
        return f"replaced {attempt.node} by", attempt.became
    if attempt.became != attempt.node == node:
        return "its readers read", attempt.became
    return "added", ", ".join(attempt.made)


def _sight(rule: Rule) -> str:
    """What a rule looks at."""
    roots = sorted(root if isinstance(root, str) else target_name(root) for root in rule.pattern.roots())
    return {"output": "the whole graph", "get_attr": "parameters and buffers"}.get(", ".join(roots), ", ".join(roots))
