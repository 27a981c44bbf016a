"""Compiles mpc/kernel.c when a wheel is built; without a compiler Matchbit is installed without it, and slower."""

from pathlib import Path

from cffi import FFI

ffi = FFI()
ffi.cdef(
    """
    typedef struct {
        uintptr_t address;
        size_t planes;
        ptrdiff_t block, plane, word;
    } array;
    typedef struct {
        const uint16_t *tape;
        size_t gates;
        const array *arrays;
        size_t count, registers, length, constants, after;
    } program;
    void matchbit_run(const program *programs, size_t count, size_t blocks, uint64_t *scratch, void *room);
    void matchbit_to_planes(const uint64_t *rows, size_t count, size_t words, uint64_t *planes);
    void matchbit_to_rows(const uint64_t *planes, size_t count, size_t words, uint64_t *rows);
    """
)
ffi.set_source(
    "mpc._kernel",
    Path(__file__).with_name("mpc").joinpath("kernel.c").read_text("utf-8"),
    extra_compile_args=["-O3", "-g0"],  # no paths of the building machine
    optional=True,
)
