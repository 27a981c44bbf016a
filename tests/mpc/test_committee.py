from mpc.committee import PARTIES, PartyId


def test_the_ring() -> None:
    assert [p.next for p in PARTIES] == [PartyId.P1, PartyId.P2, PartyId.P0]
    assert [p.previous for p in PARTIES] == [PartyId.P2, PartyId.P0, PartyId.P1]
    assert all(p.next.next == p.previous and p.next.previous == p for p in PARTIES)
