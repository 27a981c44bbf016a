from mpc.errors import DealingError, IntegrityError, MpcError, PeerError, PrssReuseError, ShareError


def test_errors_say_who_and_where() -> None:
    error = PeerError(2, "tag/round1#0", "malformed", "7 bytes where 8 are due")
    assert (error.peer, error.step, error.reason) == (2, "tag/round1#0", "malformed")
    assert str(error) == "party 2: malformed at step tag/round1#0 (7 bytes where 8 are due)"
    assert str(PeerError(0, "s", "timeout")) == "party 0: timeout at step s"
    assert str(IntegrityError("agree", "why")) == "integrity failure at step agree: why"
    assert str(IntegrityError("agree", "why", (2,))) == "integrity failure at step agree: party 2: why"
    assert str(IntegrityError("agree", "why", (2, 0))) == "integrity failure at step agree: parties 2 and 0: why"
    assert IntegrityError("agree").step == "agree"
    assert (DealingError(3, 1).member, DealingError(3, 1).peer) == (3, 1)
    assert str(DealingError(3, 1)) == "member 3 dealt inconsistent shares, or party 1 says so"


def test_one_base() -> None:
    assert all(issubclass(e, MpcError) for e in (PeerError, IntegrityError, DealingError, ShareError, PrssReuseError))
