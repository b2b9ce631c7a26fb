/* Makes one file call of a program fail: the INJECT_AT-th one, with INJECT_ERRNO, among those on files below a folder of
   INJECT_UNDER (separated by ':'). With INJECT_AT=0 none fails. INJECT_LOG, if set, gets a line for the call that failed,
   or, where none did, the number of calls. Loaded by LD_PRELOAD; each process counts its own calls. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls;
static long at;
static int number;
static const char *under, *written;
static pid_t first;

static void say(const char *text)
{
    int out = written ? syscall(SYS_openat, AT_FDCWD, written, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (out >= 0) {
        if (syscall(SYS_write, out, text, strlen(text)) < 0) { }
        syscall(SYS_close, out);
    }
}

__attribute__((constructor)) static void begin(void)
{
    const char *value = getenv("INJECT_AT");
    at = value ? atol(value) : 0;
    value = getenv("INJECT_ERRNO");
    number = value ? atoi(value) : EIO;
    under = getenv("INJECT_UNDER");
    written = getenv("INJECT_LOG");
    first = getpid();
}

__attribute__((destructor)) static void end(void)
{
    char text[64];
    if (getpid() == first && !at) {
        snprintf(text, sizeof text, "%ld\n", atomic_load(&calls));
        say(text);
    }
}

static int below(const char *path)
{
    const char *folder = under;
    while (path && folder && *folder) {
        size_t length = strcspn(folder, ":");
        if (length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]))
            return 1;
        folder += length + (folder[length] == ':');
    }
    return 0;
}

static int fails(const char *name, const char *path)
{
    char text[4400];
    if (!below(path) || atomic_fetch_add(&calls, 1) + 1 != at)
        return 0;
    snprintf(text, sizeof text, "%s %s\n", name, path);
    say(text);
    errno = number;
    return 1;
}

static int fails_open(const char *name, int file)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return fails(name, path);
}

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))
#define OPENS(name)                                                     \
    int name(const char *path, int flags, ...)                          \
    {                                                                   \
        va_list more;                                                   \
        va_start(more, flags);                                          \
        mode_t mode = va_arg(more, mode_t);                             \
        va_end(more);                                                   \
        return fails("open", path) ? -1 : REAL(name)(path, flags, mode); \
    }
#define OPENS_AT(name)                                                  \
    int name(int folder, const char *path, int flags, ...)              \
    {                                                                   \
        va_list more;                                                   \
        va_start(more, flags);                                          \
        mode_t mode = va_arg(more, mode_t);                             \
        va_end(more);                                                   \
        return fails("open", path) ? -1 : REAL(name)(folder, path, flags, mode); \
    }
#define ON_PATH(result, name, failed, declared, given) \
    result name declared { return fails(#name, path) ? failed : REAL(name) given; }
#define ON_FILE(result, name, failed, declared, given) \
    result name declared { return fails_open(#name, file) ? failed : REAL(name) given; }

OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)
ON_PATH(int, stat, -1, (const char *path, struct stat *out), (path, out))
ON_PATH(int, lstat, -1, (const char *path, struct stat *out), (path, out))
ON_PATH(int, stat64, -1, (const char *path, struct stat64 *out), (path, out))
ON_PATH(int, lstat64, -1, (const char *path, struct stat64 *out), (path, out))
ON_PATH(int, fstatat, -1, (int folder, const char *path, struct stat *out, int flags), (folder, path, out, flags))
ON_PATH(int, fstatat64, -1, (int folder, const char *path, struct stat64 *out, int flags), (folder, path, out, flags))
ON_PATH(int, access, -1, (const char *path, int mode), (path, mode))
ON_PATH(ssize_t, readlink, -1, (const char *path, char *out, size_t size), (path, out, size))
ON_PATH(DIR *, opendir, NULL, (const char *path), (path))
ON_PATH(int, mkdir, -1, (const char *path, mode_t mode), (path, mode))
ON_PATH(int, unlink, -1, (const char *path), (path))
ON_PATH(int, rename, -1, (const char *path, const char *other), (path, other))
ON_FILE(int, fstat, -1, (int file, struct stat *out), (file, out))
ON_FILE(int, fstat64, -1, (int file, struct stat64 *out), (file, out))
ON_FILE(ssize_t, read, -1, (int file, void *out, size_t size), (file, out, size))
ON_FILE(ssize_t, pread, -1, (int file, void *out, size_t size, off_t from), (file, out, size, from))
ON_FILE(ssize_t, pread64, -1, (int file, void *out, size_t size, off64_t from), (file, out, size, from))
ON_FILE(ssize_t, write, -1, (int file, const void *from, size_t size), (file, from, size))
ON_FILE(int, fsync, -1, (int file), (file))

struct dirent *readdir(DIR *folder)
{
    return fails_open("readdir", dirfd(folder)) ? NULL : REAL(readdir)(folder);
}

struct dirent64 *readdir64(DIR *folder)
{
    return fails_open("readdir", dirfd(folder)) ? NULL : REAL(readdir64)(folder);
}
