/* pool.c - a persistent pool of threads for one parallel loop at a time.
 *
 * A loop is cut into parts, a few per thread; whoever is free takes the next one, so a thread
 * that the system has put aside holds up its current part only.  The caller of cpr_parallel is
 * worker 0 and could do everything alone.  The others spin briefly for the next loop, then sleep
 * on a condition variable.  A loop that finds the pool busy (another run, or a loop inside a loop)
 * runs whole on its caller: results do not depend on the cuts.
 *
 * A forked child has none of its parent's threads, and what they held stays held: a pool that was
 * made before the fork runs every loop on its caller and is freed without a wait.
 *
 * A sleeper that is woken on its caller's own processor would wait there until the system moves
 * it, milliseconds later, while the caller does all parts.  That happens in virtual machines: the
 * host marks a halted processor as taken away, so the guest does not count it as idle.  So before
 * they are woken the workers are told to keep off the processor that the caller is on; they may
 * use all others that the caller may.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/base.h"

#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() ((void)0)
#endif

enum {
    SPINS = 4000, /* about 50 us: longer than a gap between two operators of a network */
    PATIENCE = 300, /* about 4 us: a part is at its end, or its thread was put aside */
    WORTH = 8000,   /* nanoseconds of work that are handed out */
    PARTS = 4,    /* per thread: enough to even out, few enough to cost nothing */
    MAX_THREADS = 256
};

typedef struct {
    cpr_pool *pool;
    int32_t index;
    pthread_t thread;
} worker;

struct cpr_pool {
    int32_t n_threads;
    uint32_t born;               /* `forks` of the process that has the threads */
    _Atomic int32_t busy;        /* whether a loop is running */
    _Atomic uint32_t generation; /* number of loops started */
    _Atomic int32_t sleepers;
    _Atomic int32_t stop;
    int caller; /* the processor that the workers keep off, -1: none; of whoever set busy */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    /* the loop: fields below are written only while it is closed and nobody is inside */
    _Atomic int32_t open;
    _Atomic int32_t inside; /* workers that may be reading the fields */
    _Atomic int64_t next;   /* the part to take */
    cpr_task *task;
    void *context;
    int64_t n, grain, parts;
    worker workers[];
};

static _Atomic uint32_t forks; /* how often this process and those before it were forked off */
static pthread_once_t counting = PTHREAD_ONCE_INIT;

static void count_fork(void)
{
    atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void count_forks(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

/* Whether the threads of the pool are threads of another process. */
static bool inherited(const cpr_pool *pool)
{
    return pool->born != atomic_load_explicit(&forks, memory_order_relaxed);
}

/* Take parts until none is left.  Part p is grains [p * whole / parts, (p + 1) * whole / parts). */
static void do_parts(cpr_pool *pool, int32_t index)
{
    const int64_t whole = (pool->n + pool->grain - 1) / pool->grain, parts = pool->parts;
    for (;;) {
        const int64_t part = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (part >= parts)
            return;
        const int64_t begin = whole * part / parts * pool->grain;
        int64_t end = whole * (part + 1) / parts * pool->grain;
        if (end > pool->n)
            end = pool->n;
        if (begin < end)
            pool->task(pool->context, begin, end, index);
    }
}

/* Wait a moment; let another thread run when the wait gets long. */
static void wait_a_little(int32_t *spins)
{
    if (++*spins < PATIENCE) {
        PAUSE();
    } else {
        *spins = 0;
        sched_yield();
    }
}

static void *work(void *argument)
{
    const worker *self = argument;
    cpr_pool *pool = self->pool;
    uint32_t seen = 0;
    for (;;) {
        int32_t spins = 0;
        while (atomic_load_explicit(&pool->generation, memory_order_acquire) == seen && spins < SPINS) {
            PAUSE();
            if (++spins % PATIENCE == 0)
                sched_yield(); /* the caller may have to run on this very processor */
        }
        if (atomic_load_explicit(&pool->generation, memory_order_acquire) == seen) {
            pthread_mutex_lock(&pool->mutex);
            atomic_fetch_add(&pool->sleepers, 1);
            while (atomic_load(&pool->generation) == seen)
                pthread_cond_wait(&pool->wake, &pool->mutex);
            atomic_fetch_sub(&pool->sleepers, 1);
            pthread_mutex_unlock(&pool->mutex);
        }
        seen = atomic_load(&pool->generation);
        if (atomic_load(&pool->stop))
            return NULL;
        atomic_fetch_add(&pool->inside, 1);
        if (atomic_load(&pool->open))
            do_parts(pool, self->index);
        atomic_fetch_sub(&pool->inside, 1);
    }
}

#if defined(__linux__)
/* Have the workers keep off the caller's processor, if that is another one than before. */
static void keep_off(cpr_pool *pool)
{
    const int here = sched_getcpu();
    cpu_set_t others;
    if (here < 0 || here == pool->caller || pthread_getaffinity_np(pthread_self(), sizeof others, &others))
        return;
    pool->caller = here;
    CPU_CLR((size_t)here, &others);
    if (CPU_COUNT(&others) == 0)
        return;
    for (int32_t i = 1; i < pool->n_threads; i++)
        (void)pthread_setaffinity_np(pool->workers[i].thread, sizeof others, &others); /* else as it was */
}
#else
static void keep_off(cpr_pool *pool)
{
    (void)pool;
}
#endif

/* Publish the next loop (or the stop) and wake whoever sleeps. */
static void announce(cpr_pool *pool)
{
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers) > 0) {
        if (!atomic_load(&pool->stop))
            keep_off(pool);
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->mutex);
    }
}

cpr_status cpr_pool_create(int32_t n_threads, void **out)
{
    CPR_REQUIRE("cpr_pool_create", out);
    CPR_REQUIRE("cpr_pool_create", n_threads >= 1 && n_threads <= MAX_THREADS);
    cpr_pool *pool = calloc(1, sizeof *pool + (size_t)n_threads * sizeof(worker));
    if (!pool)
        return cpr_fail(CPR_ERR_MEMORY, "cpr_pool_create: out of memory");
    pthread_once(&counting, count_forks);
    pool->born = atomic_load_explicit(&forks, memory_order_relaxed);
    pool->n_threads = n_threads;
    pool->caller = -1;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    for (int32_t i = 1; i < n_threads; i++) {
        pool->workers[i] = (worker){.pool = pool, .index = i};
        if (pthread_create(&pool->workers[i].thread, NULL, work, &pool->workers[i])) {
            pool->n_threads = i;
            cpr_pool_destroy(pool);
            return cpr_fail(CPR_ERR_MEMORY, "cpr_pool_create: thread %d could not be started", i);
        }
    }
    *out = pool;
    return CPR_OK;
}

cpr_status cpr_pool_destroy(void *handle)
{
    cpr_pool *pool = handle;
    if (!pool || inherited(pool)) {
        free(pool);
        return CPR_OK;
    }
    atomic_store(&pool->stop, 1);
    announce(pool);
    for (int32_t i = 1; i < pool->n_threads; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
    return CPR_OK;
}

cpr_pool *cpr_pool_for(cpr_pool *pool, int64_t nanoseconds)
{
    return nanoseconds < WORTH ? NULL : pool;
}

int32_t cpr_pool_threads(const cpr_pool *pool)
{
    return pool ? pool->n_threads : 1;
}

void cpr_parallel(cpr_pool *pool, int64_t n, int64_t grain, cpr_task *task, void *context)
{
    if (n <= 0)
        return;
    int32_t idle = 0;
    if (!pool || pool->n_threads == 1 || n <= grain || inherited(pool) ||
        !atomic_compare_exchange_strong(&pool->busy, &idle, 1)) {
        task(context, 0, n, 0);
        return;
    }
    const int64_t whole = (n + grain - 1) / (grain > 0 ? grain : 1), most = (int64_t)pool->n_threads * PARTS;
    pool->task = task;
    pool->context = context;
    pool->n = n;
    pool->grain = grain > 0 ? grain : 1;
    pool->parts = whole <= 2 * most ? whole : most; /* 12 in 8 parts, of 1 and 2, may end as 7 and 5 */
    atomic_store(&pool->next, 0);
    atomic_store(&pool->open, 1);
    announce(pool);
    do_parts(pool, 0);
    atomic_store(&pool->open, 0);
    int32_t spins = 0;
    while (atomic_load(&pool->inside) > 0)
        wait_a_little(&spins);
    atomic_store(&pool->busy, 0);
}
