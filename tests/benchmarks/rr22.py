"""One party of a two-party RR22 intersection by SecretFlow SPU: `python rr22.py RANK PORT,PORT FROM.csv TO.csv REPORT`.

Runs in SPU's own environment, without this repository.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from spu import libspu, psi


def main(rank: str, ports: str, source: str, target: str, report: str) -> None:
    parties = libspu.link.Desc()
    parties.recv_timeout_ms = 600_000
    for k, port in enumerate(ports.split(",")):
        parties.add_party(f"party{k}", f"127.0.0.1:{port}")
    link = libspu.link.create_brpc(parties, int(rank))
    link.barrier()  # both are up: starting takes longer than computing, and is nobody's concern here
    started, used = time.monotonic(), time.process_time()
    protocol = psi.PsiProtocolConfig(protocol=psi.PsiProtocol.PROTOCOL_RR22, receiver_rank=0, broadcast_result=True)
    config = psi.PsiExecuteConfig(
        protocol_conf=protocol,
        input_params=psi.InputParams(path=source, selected_keys=["key"], keys_unique=True),
        output_params=psi.OutputParams(path=target, disable_alignment=True),
    )
    found = psi.psi_execute(config, link).intersection_count
    figures = {"found": found, "wall_s": time.monotonic() - started, "cpu_s": time.process_time() - used}
    figures["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    Path(report).write_text(json.dumps(figures), "utf-8")
    link.stop_link()


if __name__ == "__main__":
    main(*sys.argv[1:])
