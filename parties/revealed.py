"""What a session's terms let whom learn, and whom one must trust: for people, before they agree and after. Pure."""

from __future__ import annotations

from parties.engines import Engine
from parties.manifest import Manifest

LEARNS = {
    "flag": "for each of its own records under each rule, whether at least one other member has it too",
    "grade": "for each of its own records under each rule, how surely another member has it too: certain, probable, "
    "possible or not",
    "count": "for each of its own records under each rule, how many other members have it too",
    "members": "for each of its own records under each rule, which other members have it too",
    "statistics": "a table, the same for all members, of how many people are held by 1, 2, 3 … members, and nothing of "
    "single records",
}
"""What each member learns, by what the terms reveal."""
GROUP_SIZES = "how many keys are held by 1, 2, 3 … members"
BLOCK_SIZES = "how many blocking keys are shared by 1, 2, 3 … records"
PAIRS = "from the time and bytes that the run took, roughly how many pairs of records were compared"
"""What the coordinator learns under a similar rule besides."""
SIMILAR = (
    "A similar record may be that of another person: a match under the similar rule is a reason to look, and no proof."
)
_NUMBERS = ("no", "one", "two", "three", "four", "five")


def sizes(manifest: Manifest) -> str:
    """The sizes that the replicated engine's committee learns."""
    opened = [GROUP_SIZES] if manifest.exact_rules else []
    return " and ".join([*opened, BLOCK_SIZES] if manifest.similar else opened)


def committee_learns(manifest: Manifest) -> str:
    """What the committee learns of the lists, besides each member's number of keys."""
    if not opens_sizes(manifest):
        return f"nothing else, not even {GROUP_SIZES}"
    if manifest.dummies is None:
        return sizes(manifest)
    return (
        f"roughly {sizes(manifest)}: dummy groups hide any one record with ε = {manifest.dummies.epsilon:g} and "
        f"δ = {manifest.dummies.delta:g}"
    )


def opens_sizes(manifest: Manifest) -> bool:
    """Whether the committee learns the sizes of groups, perhaps with dummy groups among them."""
    return manifest.engine == Engine.REPLICATED.value


def trust(manifest: Manifest) -> str:
    """Who learns nothing, and who would: a sentence."""
    few, more = _NUMBERS[manifest.threshold], _NUMBERS[manifest.threshold + 1]
    if manifest.threshold == 1:
        return f"No single committee node learns anything of the lists; {more} that collude would."
    of = f"No {few} of the {len(manifest.committee)} committee nodes"
    return f"{of} learn anything of the lists even together; {more} that collude would."


def deviates(manifest: Manifest) -> str:
    """What a committee node could do that runs other code than it should: a sentence, of a table or records two."""
    who = "One that breaks the protocol on purpose"
    more = ""
    if manifest.similar is not None:
        more = (
            " With a member's help it can also learn more of records that share a blocking key with that member's than "
            "how similar they are."
        )
    if manifest.statistics is not None:
        more = (
            f" It can also have numbers of the table below {manifest.statistics.smallest_cell} shown, shifted, so that "
            "whoever sees the table and knows by how much can tell them."
        )
    if manifest.engine == Engine.MPYC.value:
        return (
            f"{who} can spoil results, and with a member's help learn more of keys than whether they are equal.{more}"
        )
    if manifest.verify_tags:
        return f"{who} to read keys is noticed first, but for one chance in all keys.{more}"
    return f"{who} can read every key.{more}"
