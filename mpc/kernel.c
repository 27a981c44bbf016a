/* Runs tapes of XOR, AND and COPY gates over planes of uint64 words, strip by strip, so that a strip of all planes stays
 * in the first-level cache. What the gates mean is the tape's business. And brings rows into planes, and back. kernel.py
 * has the same in NumPy, which is the reference. Tapes come from circuit.py and from nowhere else, and arrays are as
 * long as kernel.py says: their numbers are not checked here. */

#include <stddef.h>
#include <stdint.h>

#define STRIP 64 /* words: 512 bytes of a plane */

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12
#define FOR_EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

enum { XOR, AND, COPY };

typedef uint64_t word __attribute__((aligned(1))); /* what a peer sent is used where it lies */

typedef struct {
    uint16_t op, left, right, target;
} gate;

typedef struct {
    uintptr_t address; /* of the first plane in the first block */
    size_t planes;
    ptrdiff_t block, plane, word; /* bytes from one to the next; 0 where one stands for all */
} array;

typedef struct {
    const uint16_t *tape; /* four numbers a gate */
    size_t gates;
    const array *arrays;
    size_t count, registers, length;
    size_t constants, after; /* planes with one word that stands for all: from the first of these to before the second */
} program;

/* A target is an operand or apart from it: no word depends on another. */
#define EACH(value)                                                                                                    \
    do {                                                                                                               \
        _Pragma("GCC ivdep") for (size_t i = 0; i < words; i++) target[i] = (value);                                   \
    } while (0)

static inline __attribute__((always_inline)) void run_gates(const program *p, word *const *at, size_t words) {
    const gate *end = (const gate *)p->tape + p->gates;
    for (const gate *g = (const gate *)p->tape; g < end; g++) {
        const word *left = at[g->left], *right = at[g->right];
        word *target = at[g->target];
        if (g->op == AND)
            EACH(left[i] & right[i]);
        else if (g->op == COPY)
            EACH(left[i]);
        else if (g->right < p->constants || g->right >= p->after)
            EACH(left[i] ^ right[i]);
        else {
            const uint64_t constant = *right;
            EACH(left[i] ^ constant);
        }
    }
}

FOR_EACH_PROCESSOR static void run_strip(const program *p, word *const *at, size_t words) {
    if (words == STRIP)
        run_gates(p, at, STRIP);
    else
        run_gates(p, at, words);
}

/* All programs on one block, then on the next. scratch: STRIP words for each register; room: for a pointer to each plane
 * and register; both for the program that needs most. */
void matchbit_run(const program *programs, size_t count, size_t blocks, uint64_t *scratch, void *room) {
    word **at = room;
    for (size_t block = 0; block < blocks; block++)
        for (const program *p = programs; p < programs + count; p++) {
            for (size_t start = 0; start < p->length; start += STRIP) {
                word **next = at;
                for (const array *a = p->arrays; a < p->arrays + p->count; a++)
                    for (size_t k = 0; k < a->planes; k++)
                        *next++ = (word *)(a->address + block * a->block + k * a->plane + start * a->word);
                for (size_t k = 0; k < p->registers; k++)
                    *next++ = (word *)(scratch + k * STRIP);
                run_strip(p, at, p->length - start < STRIP ? p->length - start : STRIP);
            }
        }
}

/* A square of 64 × 64 bits. */
static inline void transpose(uint64_t square[64]) {
    uint64_t mask = 0x00000000FFFFFFFF;
    for (unsigned size = 32; size; size >>= 1, mask ^= mask << size)
        for (unsigned k = 0; k < 64; k = ((k | size) + 1) & ~size) {
            const uint64_t swapped = (square[k] >> size ^ square[k | size]) & mask;
            square[k] ^= swapped << size;
            square[k | size] ^= swapped;
        }
}

/* rows: count × words; planes: 64 · words, each of length ceil(count / 64); padding is zero. Planes are far apart, often
 * by a power of two: what is written to, or read from, each is a whole line of the cache. */
#define LINE 8

FOR_EACH_PROCESSOR void matchbit_to_planes(const uint64_t *rows, size_t count, size_t words, uint64_t *planes) {
    const size_t length = (count + 63) / 64;
    for (size_t at = 0; at < length; at += LINE) {
        const size_t wide = length - at < LINE ? length - at : LINE;
        for (size_t w = 0; w < words; w++) {
            uint64_t squares[LINE][64];
            for (size_t k = 0; k < wide; k++) {
                for (size_t r = 0; r < 64; r++) {
                    const size_t row = 64 * (at + k) + r;
                    squares[k][r] = row < count ? rows[row * words + w] : 0;
                }
                transpose(squares[k]);
            }
            for (size_t b = 0; b < 64; b++)
                for (size_t k = 0; k < wide; k++)
                    planes[(64 * w + b) * length + at + k] = squares[k][b];
        }
    }
}

FOR_EACH_PROCESSOR void matchbit_to_rows(const uint64_t *planes, size_t count, size_t words, uint64_t *rows) {
    const size_t length = (count + 63) / 64;
    for (size_t at = 0; at < length; at += LINE) {
        const size_t wide = length - at < LINE ? length - at : LINE;
        for (size_t w = 0; w < words; w++) {
            uint64_t squares[LINE][64];
            for (size_t b = 0; b < 64; b++)
                for (size_t k = 0; k < wide; k++)
                    squares[k][b] = planes[(64 * w + b) * length + at + k];
            for (size_t k = 0; k < wide; k++) {
                transpose(squares[k]);
                for (size_t r = 0; r < 64 && 64 * (at + k) + r < count; r++)
                    rows[(64 * (at + k) + r) * words + w] = squares[k][r];
            }
        }
    }
}
