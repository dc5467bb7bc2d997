/* SPDX-License-Identifier: MIT */
/* One schedule: threads that hand a baton on, and who gets it next. */
#define _GNU_SOURCE
#include "explore.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "os/os.h"

enum {
    HANG_SECONDS = 10
};

typedef enum phase {
    IDLE,
    PREPARE,
    ACT,
    FINISH
} phase_number_t;

static struct {
    pthread_t thread;
    _Atomic uint32_t baton; /* 1: it is this thread's turn */
    bool acts;              /* it has begun its act and not ended it */
    bool waits;             /* until somebody writes to, or wakes, what its step touches */
    uintptr_t seen;         /* what it looked at last, if it changed nothing since */
} threads[THREADS_MOST];

static _Atomic uint32_t main_baton;
static const scenario_t *scenario;
static run_t *run;
static phase_number_t phase;
static int last = -1;        /* the thread that made the last step */
static uint8_t asleep;       /* see moment_t */
static pthread_key_t at_end; /* made after the library's, so that its destructor comes after the library's */
static _Thread_local int self = -1;

static void hand_to(_Atomic uint32_t *baton)
{
    atomic_store(baton, 1);
    syscall(SYS_futex, baton, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void wait_for(_Atomic uint32_t *baton)
{
    while (atomic_exchange(baton, 0) == 0)
        syscall(SYS_futex, baton, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

int acting(void)
{
    return phase == ACT && self >= 0 && threads[self].acts ? self : -1;
}

bool acting_finely(void)
{
    return acting() >= 0 && scenario->forks;
}

/* A child inherits what is in memory: a step that leaves that as it is may as well be made behind the fork, which itself
 * writes nothing in the parent. So the order matters to steps that write, and to what is written plainly behind STEP_PLAIN. */
static bool matters_to_fork(const step_t *step)
{
    return step->writes || step->kind == STEP_PLAIN;
}

bool conflict(const step_t *a, const step_t *b)
{
    if (a->kind == STEP_FORK || b->kind == STEP_FORK)
        return matters_to_fork(a) || matters_to_fork(b);
    return a->address != 0 && (a->writes || b->writes) && a->address < b->address + b->size &&
           b->address < a->address + a->size;
}

static step_t next_of(int thread)
{
    return run->at[run->moments].next[thread];
}

static uint64_t value_at(uintptr_t address, uint32_t size)
{
    uint64_t value = 0;
    memcpy(&value, (const void *)address, size);
    return value;
}

bool buffering(void)
{
    return acting() >= 0 && scenario->buffers;
}

/* Whether the step has to wait for a store in some buffer to be seen. */
static bool waits_for_buffer(unsigned thread, const step_t *step)
{
    if (step->kind == STEP_FENCE)
        return !buffer_empty(thread);
    if (step->kind == STEP_COMPARE && value_at(step->address, step->size) != step->expected)
        return false;
    for (unsigned i = 0; step->writes && i < scenario->threads; i++)
        if (i != thread && buffer_reserves(i, step->address))
            return true;
    return false;
}

/* The threads that can go on, and behind them the buffers that hold a store. */
static uint8_t enabled_threads(void)
{
    unsigned set = 0;
    for (unsigned i = 0; i < scenario->threads; i++) {
        step_t *next = run->at[run->moments].next;
        if (threads[i].acts && !threads[i].waits && !waits_for_buffer(i, &next[i]))
            set |= 1u << i;
        if (!buffer_empty(i)) {
            set |= 1u << (THREADS_MOST + i);
            next[THREADS_MOST + i] = buffer_next(i);
        }
    }
    return (uint8_t)set;
}

static void show(int thread, const step_t *step)
{
    static const char *const names[] = {"begins",
                                        "reads",
                                        "writes",
                                        "compares",
                                        "waits for lock",
                                        "sleeps",
                                        "system",
                                        "waits for its stores",
                                        "(its store is seen)",
                                        "writes plainly",
                                        "forks"};
    dprintf(2, "%4u  thread %d %s %#lx, %u bytes, called from %#lx\n", run->moments, thread,
            names[step->kind], (unsigned long)step->address, step->size, (unsigned long)step->caller);
}

/* The buffer that the thread's step waits for; -1 if it waits for something else. */
static int awaited_buffer(int thread)
{
    const step_t step = next_of(thread);
    if (!threads[thread].acts || threads[thread].waits || !waits_for_buffer((unsigned)thread, &step))
        return -1;
    for (unsigned i = 0; i < scenario->threads; i++)
        if (step.kind == STEP_FENCE ? (int)i == thread : (int)i != thread && buffer_reserves(i, step.address))
            return THREADS_MOST + (int)i;
    return -1;
}

/* Whose turn it is unless the search wants another: the thread that went on last, or what that one waits for. */
static int usual_choice(uint8_t awake)
{
    if (last >= 0 && (awake >> last & 1) != 0)
        return last;
    const int buffer = last >= 0 && scenario->buffers ? awaited_buffer(last) : -1;
    return buffer >= 0 ? buffer : __builtin_ctz(awake);
}

/* The choice at this moment; -1 if all that can go on are asleep. */
static int choose(uint8_t enabled)
{
    const uint8_t awake = enabled & (uint8_t)~asleep;
    run->at[run->moments].usual = awake != 0 ? (uint8_t)usual_choice(awake) : 0;
    if (run->moments >= run->given)
        return awake != 0 ? run->at[run->moments].usual : -1;
    const int chosen = run->choice[run->moments];
    if (run->moments + 1 == run->given)
        asleep = run->asleep;
    CHECK((enabled >> chosen & 1) != 0,
          "thread %d cannot go on at step %u: the scenario does not repeat itself", chosen, run->moments);
    return chosen;
}

/* The step is made: whoever waits for it goes on, whoever it conflicts with is no longer asleep. */
static void note_step(int chosen, step_t *step)
{
    for (int i = 0; i < (int)scenario->threads; i++) {
        const step_t other = next_of(i);
        if (i != chosen && conflict(step, &other)) {
            asleep &= (uint8_t) ~(1u << i);
            if (step->writes && step->kind != STEP_LOCK && other.kind != STEP_SLEEP)
                threads[i].waits = false;
        }
    }
    asleep &= (uint8_t) ~(1u << chosen);
}

/* Whose turn it is now; -1 when all have acted. */
static int schedule(void)
{
    const uint8_t enabled = enabled_threads();
    moment_t *now = &run->at[run->moments];
    if (enabled == 0) {
        for (unsigned i = 0; i < scenario->threads; i++)
            CHECK(!threads[i].acts, "thread %u waits for ever (deadlock)", i);
        return -1;
    }
    now->enabled = enabled;
    const int chosen = choose(enabled);
    if (chosen < 0) {
        run->redundant = true;
        _exit(0);
    }
    now->asleep = asleep;
    now->chosen = (uint8_t)chosen;
    step_t *step = &now->next[chosen];
    if (step->kind == STEP_COMPARE)
        step->writes = value_at(step->address, step->size) == step->expected;
    if (run->shown)
        show(chosen, step);
    note_step(chosen, step);
    last = chosen < THREADS_MOST ? chosen : last;
    CHECK(run->moments + 2 < STEPS_MOST, "a schedule of more than %d steps", STEPS_MOST);
    memcpy(run->at[run->moments + 1].next, now->next, sizeof now->next);
    run->moments++;
    return chosen;
}

/* The same, with the steps of buffers made. */
static int schedule_thread(void)
{
    int chosen = schedule();
    while (chosen >= THREADS_MOST) {
        buffer_flush((unsigned)chosen - THREADS_MOST);
        chosen = schedule();
    }
    return chosen;
}

static void go_on(int chosen)
{
    if (chosen < 0) {
        phase = FINISH;
        hand_to(&main_baton);
    } else if (chosen != self) {
        hand_to(&threads[chosen].baton);
    }
}

bool repeats(uintptr_t address)
{
    return acting() >= 0 && scenario->real_locks && threads[self].seen == address;
}

void note_seen(uintptr_t address)
{
    if (acting() >= 0)
        threads[self].seen = address;
}

void take_step(step_t step)
{
    threads[self].seen = 0;
    run->at[run->moments].next[self] = step;
    threads[self].waits = step.kind == STEP_LOCK || step.kind == STEP_SLEEP;
    const int chosen = schedule_thread();
    if (chosen != self) {
        go_on(chosen);
        wait_for(&threads[self].baton);
    }
}

static void act_ends(void *unused)
{
    (void)unused;
    if (acting() < 0)
        return;
    threads[self].acts = false;
    run->at[run->moments].next[self] = (step_t){0};
    go_on(schedule_thread());
}

static void perform_phase(phase_t *const *of)
{
    if (of[self] != NULL)
        of[self]();
}

static void *live(void *number)
{
    self = (int)(intptr_t)number;
    wait_for(&threads[self].baton);
    perform_phase(scenario->prepare);
    pthread_setspecific(at_end, &threads[self]);
    hand_to(&main_baton);
    wait_for(&threads[self].baton);
    perform_phase(scenario->act);
    if (scenario->ends[self])
        return NULL;
    act_ends(NULL);
    wait_for(&threads[self].baton);
    perform_phase(scenario->finish);
    hand_to(&main_baton);
    wait_for(&threads[self].baton);
    return NULL;
}

static void one_by_one(phase_number_t now)
{
    phase = now;
    for (unsigned i = 0; i < scenario->threads; i++) {
        if (now != FINISH || !scenario->ends[i]) {
            hand_to(&threads[i].baton);
            wait_for(&main_baton);
        }
    }
}

static void all_at_once(void)
{
    race_reset();
    for (unsigned i = 0; i < scenario->threads; i++) {
        threads[i].acts = true;
        run->at[0].next[i] = (step_t){.kind = STEP_BEGIN};
    }
    phase = ACT;
    go_on(schedule());
    wait_for(&main_baton);
}

static void start_threads(void)
{
    CHECK(pthread_key_create(&at_end, act_ends) == 0, "pthread_key_create");
    for (unsigned i = 0; i < scenario->threads; i++) {
        const int error = pthread_create(&threads[i].thread, NULL, live, (void *)(intptr_t)i);
        CHECK(error == 0, "pthread_create: error %d", error);
    }
}

_Noreturn void perform(const scenario_t *what, run_t *with)
{
    alarm(HANG_SECONDS);
    scenario = what;
    run = with;
    run->moments = 0;
    run->redundant = false;
    asleep = 0;
    if (scenario->before != NULL)
        scenario->before();
    start_threads();
    one_by_one(PREPARE);
    all_at_once();
    for (unsigned i = 0; i < scenario->threads; i++)
        if (scenario->ends[i])
            pthread_join(threads[i].thread, NULL);
    one_by_one(FINISH);
    if (scenario->after != NULL)
        scenario->after();
    _exit(0);
}

/* --- what the library waits for and asks of the system ------------------------------------------------------------ */

extern const char __executable_start[];
#define CALLER ((uintptr_t)__builtin_return_address(0) - (uintptr_t)__executable_start)

void __real_hak_os_lock_slow(hak_os_lock_t *lock);
void __wrap_hak_os_lock_slow(hak_os_lock_t *lock);

/* Waits for any write to the lock, however it is made up, and tries again. */
void __wrap_hak_os_lock_slow(hak_os_lock_t *lock)
{
    if (acting() < 0 || scenario->real_locks) {
        __real_hak_os_lock_slow(lock);
        return;
    }
    do {
        take_step((step_t){.address = (uintptr_t)lock,
                           .size = sizeof *lock,
                           .kind = STEP_LOCK,
                           .writes = true,
                           .caller = CALLER});
    } while (!hak_os_take_lock(lock) && !hak_os_try_lock_slow(lock));
    race_read((uintptr_t)lock, memory_order_acquire);
}

static void wake(uintptr_t address, long most)
{
    for (unsigned i = 0; i < scenario->threads && most > 0; i++) {
        const step_t step = next_of((int)i);
        if (threads[i].acts && threads[i].waits && step.kind == STEP_SLEEP && step.address == address) {
            threads[i].waits = false;
            most--;
        }
    }
}

/* The futex of a thread that acts: to look whether it may sleep is a step, and so are to sleep and to wake. */
static long futex(uintptr_t address, long operation, uint32_t value, uintptr_t caller)
{
    step_t step = {.address = address, .size = sizeof value, .kind = STEP_READ, .caller = caller};
    if ((operation & FUTEX_CMD_MASK) == FUTEX_WAKE) {
        step.kind = STEP_WRITE;
        step.writes = true;
        take_step(step);
        wake(address, (long)value);
        return 0;
    }
    take_step(step);
    if ((uint32_t)value_at(address, sizeof value) != value)
        return -EAGAIN;
    step.kind = STEP_SLEEP;
    take_step(step);
    return 0;
}

void *wanted_address;
size_t wanted_size;

/* Two calls that change mappings conflict, whatever they change. */
static void system_step(uintptr_t caller)
{
    if (acting() >= 0)
        take_step((step_t){.address = 1, .size = 1, .kind = STEP_SYSTEM, .writes = true, .caller = caller});
}

#define SYSTEM_STEP() system_step(CALLER)

/* The library's next mapping that could lie there does. */
static long wanted_mapping(size_t size)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    return wanted_address == NULL || size != wanted_size
               ? -1
               : syscall(SYS_mmap, wanted_address, size, PROT_READ | PROT_WRITE, flags, -1, 0);
}

/* A futex that waits not at all asks whether there is memory (hak_os_readable). */
static bool is_probe(long timeout)
{
    const struct timespec *until = (const struct timespec *)timeout; /* NOLINT(performance-no-int-to-ptr) */
    return until != NULL && until->tv_sec == 0 && until->tv_nsec == 0;
}

long __real_hak_call(long number, long a, long b, long c, long d, long e, long f);
long __wrap_hak_call(long number, long a, long b, long c, long d, long e, long f);
long __wrap_hak_call(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_futex && acting() >= 0 && !is_probe(d))
        return futex((uintptr_t)a, b, (uint32_t)c, CALLER);
    if (number == SYS_mmap || number == SYS_munmap || number == SYS_mremap || number == SYS_mprotect ||
        number == SYS_madvise)
        SYSTEM_STEP();
    const long wanted = number == SYS_mmap && a == 0 ? wanted_mapping((size_t)b) : -1;
    return wanted != -1 ? wanted : __real_hak_call(number, a, b, c, d, e, f);
}

/* What others are to see goes through libc. */
void *__real_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    SYSTEM_STEP();
    const long wanted = address == NULL && acting() >= 0 ? wanted_mapping(size) : -1;
    return wanted != -1 ? (void *)wanted : __real_mmap(address, size, protection, flags, file, offset);
}

int __real_munmap(void *address, size_t size);
int __wrap_munmap(void *address, size_t size);
int __wrap_munmap(void *address, size_t size)
{
    SYSTEM_STEP();
    return __real_munmap(address, size);
}

int __real_madvise(void *address, size_t size, int advice);
int __wrap_madvise(void *address, size_t size, int advice);
int __wrap_madvise(void *address, size_t size, int advice)
{
    SYSTEM_STEP();
    return __real_madvise(address, size, advice);
}

void *__real_mremap(void *address, size_t old_size, size_t new_size, int flags, ...);
void *__wrap_mremap(void *address, size_t old_size, size_t new_size, int flags, ...);
void *__wrap_mremap(void *address, size_t old_size, size_t new_size, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    void *target = (flags & MREMAP_FIXED) != 0 ? va_arg(list, void *) : NULL;
    va_end(list);
    SYSTEM_STEP();
    return __real_mremap(address, old_size, new_size, flags, target);
}

void *map_foreign(void *address, size_t size)
{
    SYSTEM_STEP();
    void *at = __real_mmap(address, size, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (at != address && at != MAP_FAILED)
        __real_munmap(at, size);
    return at == address ? at : NULL;
}

static pid_t fork_raw(void)
{
    return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);
}

int fork_here(bool raw)
{
    const bool acts = acting() >= 0;
    if (acts) {
        take_step((step_t){.kind = STEP_FORK});
        phase = FINISH; /* fork handlers are the child's: no steps */
    }
    const pid_t child = raw ? fork_raw() : fork();
    if (child == 0)
        alarm(HANG_SECONDS);
    else if (acts)
        phase = ACT;
    return child;
}

void go_on_in_raw_child(void)
{
    const pid_t child = fork_raw();
    if (child != 0) {
        int status = 0;
        waitpid(child, &status, 0);
        _exit(status == 0 ? 0 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
    alarm(HANG_SECONDS);
}
