// LD_PRELOAD shim: fdatasync and fsync of files whose path contains FAIL_SYNC_OF fail with EIO while the file
// FAIL_SYNC_WHEN exists. What was written stays in the page cache, as after a real failed sync.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int must_fail(int descriptor) {
    const char* part = getenv("FAIL_SYNC_OF");
    const char* when = getenv("FAIL_SYNC_WHEN");
    if (part == NULL || when == NULL || access(when, F_OK) != 0) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
    const ssize_t length = readlink(link, path, sizeof(path) - 1);
    if (length < 0) return 0;
    path[length] = '\0';
    return strstr(path, part) != NULL;
}

static int sync_with(const char* name, int descriptor) {
    if (must_fail(descriptor)) {
        errno = EIO;
        return -1;
    }
    int (*real)(int);
    *(void**)&real = dlsym(RTLD_NEXT, name);
    return real(descriptor);
}

int fdatasync(int descriptor) { return sync_with("fdatasync", descriptor); }
int fsync(int descriptor) { return sync_with("fsync", descriptor); }
