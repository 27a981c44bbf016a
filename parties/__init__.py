"""Everything impure: nodes and coordinator, identity, transport, storage, files, the command line."""

import os

# NumPy's sorts for AVX-512 take four times as long as those for AVX2 where compressing into memory is slow (AMD's
# Zen 4), and are little faster elsewhere. NumPy reads this when it is imported; its versions name features differently.
os.environ.setdefault("NPY_DISABLE_CPU_FEATURES", "X86_V4 AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR")
