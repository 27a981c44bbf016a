"""A worker that runs other code as party 1: what it sends of a multiplication is authentic, and no shares."""

from __future__ import annotations

import sys

import numpy as np

from mpc.session import Links
from parties import worker

SAYS = {"too large": lambda array: np.full_like(array, 0xFF), "short": lambda array: array.reshape(-1)[:-1]}

if __name__ == "__main__":
    lie, send = SAYS[sys.argv[1]], Links.send

    def send_lies(self: Links, peer: int, array: np.ndarray) -> None:
        """Send what the lie makes of shares."""
        is_share = self.party == 1 and self.step.isdecimal()
        send(self, peer, np.ascontiguousarray(lie(array)) if is_share else array)

    Links.send = send_lies  # type: ignore[method-assign]
    worker.main()
