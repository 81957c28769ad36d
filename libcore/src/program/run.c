/* run.c - run a checked program: once, or over and over along arrays, several runs at a time. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "program/program.h"

enum { POLL = 100 * 1000 * 1000 /* nanoseconds */ };

/* One run, or one of the runs of a repetition. */
typedef struct {
    const cpr_program *program;
    void *const *bases;
    const int64_t *steps; /* bytes between two runs by base; NULL: none */
    int64_t index;        /* of the run */
    char *arena;
    cpr_pool *pool;
    cpr_poll *poll; /* NULL on threads that must not call it */
    int64_t asked;  /* when it was called last */
    const _Atomic int32_t *over; /* set when the other runs have come to nothing; may be NULL */
    int64_t *nanoseconds;        /* of each record; may be NULL */
} run;

static int64_t now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Whether the caller wants the run to end; it is asked when POLL has passed since the last time. */
static bool cancelled(run *r)
{
    if (r->over && atomic_load_explicit(r->over, memory_order_relaxed))
        return true;
    if (!r->poll)
        return false;
    const int64_t time = now(CLOCK_MONOTONIC_COARSE); /* a few ns; steps of 4 ms */
    if (time - r->asked < POLL)
        return false;
    const int32_t answer = r->poll();
    r->asked = now(CLOCK_MONOTONIC_COARSE);
    return answer != 0;
}

static char *memory_of(const run *r, int32_t base)
{
    if (base == 0)
        return r->arena;
    return (char *)r->bases[base] + (r->steps ? r->steps[base] * r->index : 0);
}

static cpr_status run_records(run *r)
{
    const cpr_program *p = r->program;
    int64_t before = r->nanoseconds ? now(CLOCK_MONOTONIC) : 0;
    for (int64_t i = 0; i < p->n_records; i++) {
        if (cancelled(r))
            return cpr_fail(CPR_ERR_CANCELLED, "the run was cancelled");
        const cpr_record *record = &p->records[i];
        cpr_op op = record->op;
        for (int32_t k = 0; k < op.n_tensors; k++) {
            const cpr_tensor *t = op.tensor[k];
            op.data[k] = t ? memory_of(r, t->base) + t->offset : NULL;
        }
        op.pool = r->pool;
        op.scratch = r->arena + p->value_bytes;
        op.scratch_stride = p->scratch_bytes;
        const cpr_status status = record->kernel->run(&op);
        if (status)
            return status;
        if (r->nanoseconds) {
            const int64_t after = now(CLOCK_MONOTONIC);
            r->nanoseconds[i] = after - before;
            before = after;
        }
    }
    return CPR_OK;
}

/* Runs that go on at the same time, and how the first of them to fail did. */
typedef struct {
    run run; /* what they share */
    int64_t count;
    _Atomic int64_t next; /* the run to do */
    _Atomic int32_t over;
    cpr_status status;
    char message[512];
} crowd;

/* Do runs until none is left, whatever the range: there is a range for every worker. */
static void run_some(void *context, int64_t begin, int64_t end, int32_t worker)
{
    (void)begin, (void)end;
    crowd *all = context;
    const cpr_program *p = all->run.program;
    run mine = all->run;
    mine.arena += worker * (p->value_bytes + p->scratch_bytes);
    mine.poll = worker == 0 ? mine.poll : NULL;
    mine.over = &all->over;
    while ((mine.index = atomic_fetch_add_explicit(&all->next, 1, memory_order_relaxed)) < all->count) {
        const cpr_status status = run_records(&mine);
        int32_t none = 0;
        if (status && atomic_compare_exchange_strong(&all->over, &none, 1)) {
            all->status = status;
            strncpy(all->message, cpr_last_error(), sizeof all->message - 1);
        }
        if (status)
            return;
    }
}

cpr_status cpr_program_run(const void *handle, int32_t n_bases, void *const *bases, void *pool,
                           cpr_poll *poll, int64_t *nanoseconds)
{
    const cpr_program *p = handle;
    CPR_REQUIRE("cpr_program_run", p && bases && n_bases == p->n_bases);
    run one = {.program = p, .bases = bases, .arena = bases[0], .pool = pool, .poll = poll, .nanoseconds = nanoseconds};
    one.asked = poll ? now(CLOCK_MONOTONIC_COARSE) : 0;
    return run_records(&one);
}

/* `count` runs along arrays: as many at a time as there are threads, then what is left over. */
static cpr_status repeat(run *shared, int64_t count)
{
    cpr_pool *pool = shared->pool;
    const int64_t threads = cpr_pool_threads(pool);
    crowd all = {.run = *shared, .count = threads > 1 ? count - count % threads : 0};
    all.run.pool = NULL;
    if (all.count)
        cpr_parallel(pool, threads, 1, run_some, &all);
    if (all.status)
        return cpr_fail(all.status, "%s", all.message);
    for (shared->index = all.count; shared->index < count; shared->index++) {
        const cpr_status status = run_records(shared);
        if (status)
            return status;
    }
    return CPR_OK;
}

enum { NAP = 20 * 1000 /* nanoseconds */ };

/* Wait until nobody owns the word, and own it; *mine: whether that is new, not this thread's further up. */
static cpr_status own(run *r, _Atomic uint64_t *owner, uint64_t self, bool *mine)
{
    for (uint64_t found = 0; !atomic_compare_exchange_strong(owner, &found, self); found = 0) {
        *mine = found != self;
        if (!*mine)
            return CPR_OK;
        if (cancelled(r))
            return cpr_fail(CPR_ERR_CANCELLED, "the run was cancelled");
        nanosleep(&(struct timespec){.tv_nsec = NAP}, NULL);
    }
    return CPR_OK;
}

cpr_status cpr_run_job(const cpr_job *job)
{
    CPR_REQUIRE("cpr_run_job", job && job->program && job->bases && job->count >= 0);
    CPR_REQUIRE("cpr_run_job", job->n_bases == ((const cpr_program *)job->program)->n_bases);
    const uint64_t self = (uint64_t)pthread_self();
    const bool polls = job->poll && (!job->poll_thread || job->poll_thread == self);
    run one = {.program = job->program, .bases = job->bases, .steps = job->steps, .arena = job->bases[0], .pool = job->pool};
    one.poll = polls ? job->poll : NULL;
    one.asked = polls ? now(CLOCK_MONOTONIC_COARSE) : 0;
    _Atomic uint64_t *owner = (_Atomic uint64_t *)job->owner;
    bool mine = owner != NULL;
    cpr_status status = mine ? own(&one, owner, self, &mine) : CPR_OK;
    if (status)
        return status;
    status = job->steps ? repeat(&one, job->count) : run_records(&one);
    if (mine)
        atomic_store(owner, 0);
    return status;
}
