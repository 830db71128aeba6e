// LD_PRELOAD shim: the clocks that SystemClock reads, CLOCK_BOOTTIME and CLOCK_REALTIME, go as the 40 bytes of the file
// SKEWED_CLOCK say, which may change while the process runs. libfaketime does not do: the loop arms a timerfd with absolute
// times of CLOCK_BOOTTIME, and that descriptor runs on the kernel's clock.
//
// The file, little-endian: u64 sequence (odd while it is written), i64 real and i64 shown boot time at which the rate began (ns),
// f64 rate, i64 what is added to wall time (ns). Boot time shown never goes back as long as the writer goes on where it was.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct skew {
    volatile uint64_t sequence;
    volatile int64_t real, shown;
    volatile double rate;
    volatile int64_t wall;
};

static const struct skew* shared;
static int (*real_gettime)(clockid_t, struct timespec*);
static int (*real_settime)(int, int, const struct itimerspec*, struct itimerspec*);
static int (*real_timedwait)(pthread_cond_t*, pthread_mutex_t*, const struct timespec*);

// Before main: no thread yet. Calls before it find NULL and go through as they are.
__attribute__((constructor)) static void open_shared(void) {
    *(void**)&real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    *(void**)&real_settime = dlsym(RTLD_NEXT, "timerfd_settime");
    *(void**)&real_timedwait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    const char* path = getenv("SKEWED_CLOCK");
    const int file = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void* mapped = mmap(NULL, sizeof(struct skew), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) shared = mapped;
}

static struct skew now_set(void) {
    struct skew copy;
    uint64_t before;
    do {
        before = shared->sequence;
        __sync_synchronize();
        copy = *(const struct skew*)shared;
        __sync_synchronize();
    } while (before % 2 != 0 || before != shared->sequence);
    return copy;
}

static int64_t to_ns(const struct timespec* at) { return (int64_t)at->tv_sec * 1000000000 + at->tv_nsec; }

static struct timespec from_ns(int64_t ns) {
    if (ns < 0) ns = 0;
    struct timespec at = {ns / 1000000000, ns % 1000000000};
    return at;
}

int clock_gettime(clockid_t id, struct timespec* at) {
    if (real_gettime == NULL) *(void**)&real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    const int failed = real_gettime(id, at);
    if (failed || shared == NULL) return failed;
    if (id == CLOCK_BOOTTIME) {
        const struct skew skew = now_set();
        *at = from_ns(skew.shown + (int64_t)((double)(to_ns(at) - skew.real) * skew.rate));
    } else if (id == CLOCK_REALTIME) {
        *at = from_ns(to_ns(at) + now_set().wall);
    }
    return 0;
}

int timerfd_settime(int descriptor, int flags, const struct itimerspec* when, struct itimerspec* old) {
    if (shared == NULL || (flags & TFD_TIMER_ABSTIME) == 0 || to_ns(&when->it_value) == 0) return real_settime(descriptor, flags, when, old);
    const struct skew skew = now_set();
    struct itimerspec real = *when;
    real.it_value = from_ns(skew.real + (int64_t)((double)(to_ns(&when->it_value) - skew.shown) / skew.rate));
    if (to_ns(&real.it_value) == 0) real.it_value.tv_nsec = 1;  // 0 would disarm
    return real_settime(descriptor, flags, &real, old);
}

// Absolute wall time, computed from the clock above.
int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const struct timespec* until) {
    if (shared == NULL) return real_timedwait(condition, mutex, until);
    const struct timespec real = from_ns(to_ns(until) - now_set().wall);
    return real_timedwait(condition, mutex, &real);
}
