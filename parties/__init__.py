"""Everything impure: configuration, identity, gRPC, storage, files, command line."""

import os

# NumPy's sorts for AVX-512 take four times as long as those for AVX2 on processors where compressing into memory is slow
# (AMD's Zen 4), and are little faster on others. NumPy reads this once, when it is imported; versions name features apart.
os.environ.setdefault("NPY_DISABLE_CPU_FEATURES", "X86_V4 AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR")
