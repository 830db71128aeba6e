/* LD_PRELOAD shim for tools/bench/run: every fdatasync and fsync takes SLOW_US microseconds longer, as a disk without a fast
 * cache does. The time is slept before the real call, so a sync that overlaps with other work still overlaps. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

static void slow(void) {
    const char* text = getenv("SLOW_US");
    const long us = text != NULL ? atol(text) : 0;
    if (us <= 0) return;
    struct timespec left = {us / 1000000, us % 1000000 * 1000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

int fdatasync(int descriptor) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    slow();
    return real(descriptor);
}

int fsync(int descriptor) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    slow();
    return real(descriptor);
}
