/* LD_PRELOAD shim for tools/bench/run and tests/chaos: every fdatasync and fsync takes SLOW_US microseconds longer, as a disk
 * without a fast cache does. The time is slept before the real call, so a sync that overlaps with other work still overlaps.
 * A timer of the kernel may be late by its slack, 50 us unless told otherwise: here it is told, since what was asked for is meant.
 * With SLOW_US_FILE that file says how many, as decimal text, at each sync anew; none while there is no such file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static long microseconds(void) {
    const char* path = getenv("SLOW_US_FILE");
    if (path == NULL) {
        const char* text = getenv("SLOW_US");
        return text != NULL ? atol(text) : 0;
    }
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    char text[32];
    const ssize_t length = read(file, text, sizeof(text) - 1);
    close(file);
    text[length > 0 ? length : 0] = '\0';
    return atol(text);
}

static void slow(void) {
    const long us = microseconds();
    if (us <= 0) return;
    const int slack = prctl(PR_GET_TIMERSLACK);
    prctl(PR_SET_TIMERSLACK, 1);
    struct timespec left = {us / 1000000, us % 1000000 * 1000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
    prctl(PR_SET_TIMERSLACK, slack);
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
