/* compress_core.h - the whole border between Python and libcompress_core.
 *
 * Only fixed-width integers, size_t, and pointers cross it.  Every function returns a
 * status; the text of the last error is thread-local.  The caller owns all memory.
 *
 * There is one way to compute: an operator ("record") applied to tensors.  cpr_call runs
 * one; a program runs a planned list of them in one call.
 *
 * A tensor is described by CPR_TENSOR_WORDS int64 words:
 *
 *     [0] base      which memory it lies in (index into `bases`; cpr_call: ignored)
 *     [1] offset    bytes from the start of that memory to element (0, ..., 0)
 *     [2] dtype     an ONNX TensorProto.DataType number (1 float32, 2 uint8, 3 int8, ...)
 *     [3] rank      0..8
 *     [4..11]  dims     elements per dimension, >= 0
 *     [12..19] strides  elements between neighbours, any sign, 0 repeats
 *
 * A record is  [opcode, n_operands, n_args, operand..., arg...]: operands index the tensor
 * table (-1: absent), args are int64; a float argument is the bit pattern of a float64.
 * What operands and args an operator takes stands above its kernel in src/.
 */
#ifndef COMPRESS_CORE_H
#define COMPRESS_CORE_H

#include <stddef.h>
#include <stdint.h>

#define CPR_ABI_MAJOR 3
#define CPR_ABI_MINOR 1

#define CPR_TENSOR_WORDS 20
#define CPR_MAX_RANK 8
#define CPR_MAX_OPERANDS 16

typedef int32_t cpr_status;
enum {
    CPR_OK = 0,
    CPR_ERR_ARGUMENT = 1,    /* a value the caller passed is wrong */
    CPR_ERR_MEMORY = 2,      /* an allocation failed */
    CPR_ERR_UNSUPPORTED = 3, /* no kernel for these types or shapes */
    CPR_ERR_CANCELLED = 4    /* the caller's poll said so */
};

#if defined(__GNUC__)
#define CPR_API __attribute__((visibility("default")))
#else
#define CPR_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* (major << 16) | minor of the ABI this library was built with. */
CPR_API uint32_t cpr_abi_version(void);

/* Text of the last error on this thread; "" if none.  Valid until the next call. */
CPR_API const char *cpr_last_error(void);

/* Instruction set in use: 0 scalar, 1 avx2, 2 avx512, 3 avx512vnni, 4 avx512bf16, 5 amx. */
CPR_API cpr_status cpr_get_isa(int32_t *isa);

/* Use at most this instruction set from now on, in the whole process. */
CPR_API cpr_status cpr_limit_isa(int32_t isa);

/* The number of an operator, by name; CPR_ERR_UNSUPPORTED when there is none. */
CPR_API cpr_status cpr_find_op(const char *name, int32_t *opcode);

/* The name of an operator, by number; CPR_ERR_ARGUMENT past the last. */
CPR_API cpr_status cpr_op_name(int32_t opcode, const char **name);

/* A persistent pool of n_threads (the caller of a run is one of them).  In a forked child it has no
 * threads: runs with it are right and take one, and destroying it waits for nobody. */
CPR_API cpr_status cpr_pool_create(int32_t n_threads, void **pool);
CPR_API cpr_status cpr_pool_destroy(void *pool);

/* Run one operator now.  data[i] is element (0, ..., 0) of tensor i; the caller vouches that
 * all elements lie in memory.  Base -1: the tensor is absent.  pool may be NULL. */
CPR_API cpr_status cpr_call(int32_t opcode, int32_t n_tensors, const int64_t *tensors,
                            void *const *data, int32_t n_args, const int64_t *args, void *pool);

/* Check and store a program: every tensor inside its base, every record accepted by its
 * kernel.  Base 0 is the arena of a run; base_bytes[0] is its size without scratch. */
CPR_API cpr_status cpr_program_create(int32_t n_tensors, const int64_t *tensors,
                                      int64_t n_words, const int64_t *records,
                                      int32_t n_bases, const int64_t *base_bytes, void **program);

/* Bytes of base 0 that a run with n_threads needs (values and scratch). */
CPR_API cpr_status cpr_program_arena_bytes(const void *program, int32_t n_threads, int64_t *bytes);

/* Run all records in order.  bases[i] points at the memory of base i (64-byte aligned for
 * base 0).  Safe from several threads at once with different arenas.  poll, if not NULL, is
 * called between records on the calling thread, every 100 ms or so; what is not 0 ends the run with
 * CPR_ERR_CANCELLED.  nanoseconds, if not NULL, receives the time of each record. */
typedef int32_t cpr_poll(void);
CPR_API cpr_status cpr_program_run(const void *program, int32_t n_bases, void *const *bases,
                                   void *pool, cpr_poll *poll, int64_t *nanoseconds);

/* What cpr_run_job is given; it stays as it is, so a caller that runs again fills it once.  NULL steps:
 * one run.  Else count runs: run k has base i at bases[i] + k * steps[i] (bytes; steps[0] counts for
 * nothing).  Each thread of the pool does whole runs, with an arena of its own: base 0 holds
 * cpr_program_arena_bytes(program, 1) bytes for each, and no fewer than for all threads in one run.
 * The count % threads runs that are left over then come one after the other, with all threads.  When
 * one fails, the others end too, and its status is returned.  poll is called on poll_thread alone (an
 * id of pthread_self; 0: on any).  Jobs with the same owner, a word that is 0 before the first of them,
 * wait for each other, but for those that a poll begins. */
typedef struct {
    const void *program;
    void *const *bases;
    int64_t n_bases;
    void *pool;
    cpr_poll *poll;
    uint64_t poll_thread;
    uint64_t *owner;
    const int64_t *steps;
    int64_t count;
} cpr_job;
CPR_API cpr_status cpr_run_job(const cpr_job *job);
CPR_API cpr_status cpr_program_destroy(void *program);

/* Do nothing but multiply and add `rounds` times, in the way of the instruction set in use, on
 * the calling thread; *operations receives how many of both that was.  The caller takes the time. */
enum { CPR_PEAK_F32 = 0, CPR_PEAK_S8 = 1, CPR_PEAK_BF16 = 2 };
CPR_API cpr_status cpr_peak(int32_t unit, int64_t rounds, int64_t *operations);

#ifdef __cplusplus
}
#endif
#endif
