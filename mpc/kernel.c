/* Runs tapes of XOR, AND and COPY gates over planes of uint64 words, strip by strip, so that a strip of all planes stays
 * in the first-level cache. What the gates mean is the tape's business; kernel.py has the same in NumPy, which is the
 * reference. Tapes come from circuit.py and from nowhere else: their numbers are not checked here. */

#include <stddef.h>
#include <stdint.h>

#define STRIP 64 /* words: 512 bytes of a plane */

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12
#define FOR_EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

enum { XOR, AND, COPY };

typedef struct {
    uint16_t op, left, right, target;
} gate;

typedef struct {
    const uint16_t *tape;     /* four numbers a gate */
    size_t gates;
    const uintptr_t *address; /* of each plane in the first block */
    const ptrdiff_t *step;    /* bytes from a plane to the same one in the next block */
    const ptrdiff_t *advance; /* words from a word to the next one: 1, or 0 where one word stands for all */
    size_t planes, registers, length;
} program;

/* A target is an operand or apart from it: no word depends on another. */
#define EACH(value)                                                                                                    \
    do {                                                                                                               \
        _Pragma("GCC ivdep") for (size_t i = 0; i < words; i++) target[i] = (value);                                   \
    } while (0)

static inline __attribute__((always_inline)) void run_gates(const program *p, uint64_t *const *at, size_t words) {
    const gate *end = (const gate *)p->tape + p->gates;
    for (const gate *g = (const gate *)p->tape; g < end; g++) {
        const uint64_t *left = at[g->left], *right = at[g->right];
        uint64_t *target = at[g->target];
        if (g->op == AND)
            EACH(left[i] & right[i]);
        else if (g->op == COPY)
            EACH(left[i]);
        else if (g->right >= p->planes || p->advance[g->right])
            EACH(left[i] ^ right[i]);
        else {
            const uint64_t word = *right;
            EACH(left[i] ^ word);
        }
    }
}

FOR_EACH_PROCESSOR static void run_strip(const program *p, uint64_t *const *at, size_t words) {
    if (words == STRIP)
        run_gates(p, at, STRIP);
    else
        run_gates(p, at, words);
}

/* All programs on one block, then on the next. scratch: STRIP words for each register; at: a pointer for each plane and
 * register; both for the program that needs most. */
void matchbit_run(const program *programs, size_t count, size_t blocks, uint64_t *scratch, uint64_t **at) {
    for (size_t block = 0; block < blocks; block++)
        for (const program *p = programs; p < programs + count; p++) {
            for (size_t k = 0; k < p->registers; k++)
                at[p->planes + k] = scratch + k * STRIP;
            for (size_t start = 0; start < p->length; start += STRIP) {
                for (size_t k = 0; k < p->planes; k++)
                    at[k] = (uint64_t *)(p->address[k] + block * p->step[k]) + start * p->advance[k];
                run_strip(p, at, p->length - start < STRIP ? p->length - start : STRIP);
            }
        }
}
