"""What pyproject.toml has no place for: the compiled kernel, which any CPython from 3.11 on loads.

With MATCHBIT_PURE set, the wheel is one without it, for every system.
"""

import os

from setuptools import setup

if "MATCHBIT_PURE" in os.environ:
    setup()
else:
    setup(cffi_modules=["build_kernel.py:ffi"], options={"bdist_wheel": {"py_limited_api": "cp311"}})
