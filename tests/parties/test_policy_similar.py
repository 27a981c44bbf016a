"""What a policy says of rules on similar records."""

from dataclasses import replace

from parties import policyfile
from parties.policy import Consent, Decision, Policy
from tests.parties.samples import ALIKE, SIMILAR, manifest
from tests.parties.test_policy import HERE, judged


def test_a_similar_rule_is_accepted_as_it_is_named_and_no_other() -> None:
    rules = policyfile.from_toml({"similar": [SIMILAR.fingerprint]}, HERE)
    terms = manifest(rules=(ALIKE,))
    assert judged(rules, terms).decision is Decision.PERSON
    other = replace(SIMILAR, thresholds=(61,))
    (says,) = judged(rules, manifest(rules=(replace(ALIKE, similar=other),))).reasons
    assert says == (
        f"The fingerprint of a rule of `kind` similar is {other.fingerprint}; this node allows {SIMILAR.fingerprint}."
    )


def test_standing_consent_leaves_similar_rules_to_a_person_unless_it_names_them() -> None:
    standing = Policy(consent=Consent.STANDING)
    assert judged(standing, manifest()).decision is Decision.STANDING
    assert judged(standing, manifest(rules=(ALIKE,))).decision is Decision.PERSON
    named = replace(standing, similar=frozenset({SIMILAR.fingerprint}))
    assert judged(named, manifest(rules=(ALIKE,))).decision is Decision.STANDING
