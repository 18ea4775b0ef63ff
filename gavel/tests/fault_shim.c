// Makes the disk fail for a process that is started with this preloaded: while the file that
// GAVEL_FAULT names exists, syncs of any file fail if it says "sync", and writes find no room if it
// says "room". What is written to it, and to pipes and sockets, is left alone.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int fault_is(const char *kind) {
    const char *path = getenv("GAVEL_FAULT");
    if (!path) return 0;
    int saved = errno, file = open(path, O_RDONLY | O_CLOEXEC);
    char text[8] = {0};
    if (file >= 0) {
        ssize_t got = read(file, text, sizeof text - 1);
        (void)got;
        close(file);
    }
    errno = saved;
    return strncmp(text, kind, strlen(kind)) == 0;
}

static int is_file(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    if (fault_is("sync")) return errno = EIO, -1;
    return real(fd);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (fault_is("sync")) return errno = EIO, -1;
    return real(fd);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    if (is_file(fd) && fault_is("room")) return errno = ENOSPC, -1;
    return real(fd, bytes, count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return pwrite64(fd, bytes, count, at);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    if (is_file(fd) && fault_is("room")) return errno = ENOSPC, -1;
    return real(fd, bytes, count);
}
