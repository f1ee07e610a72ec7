/* Preloaded into a program: appends what it does to files below POWER_ROOT to POWER_LOG.

   A record is: kind (1 byte), file (8), offset (8), length (4), all little-endian, then so many
   bytes.  Kinds: C created, W written, T truncated, S synced, D directory synced, M directory
   made, U unlinked, R renamed, L linked.  The log is the disk: syncs are noted and not done.
   A record is one append, so that those of several threads and processes keep the order in which
   things happened to a file, whose writers SQLite's locks keep apart. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS 65536
enum { NOT_OURS, OUR_FILE, OUR_DIRECTORY };

static const char *root;
static size_t root_length;
static int log_descriptor = -1;
static unsigned char ours[DESCRIPTORS];
static uint64_t file_of[DESCRIPTORS];

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        dprintf(2, "recorder: no %s\n", name);
        abort();
    }
    return found;
}

__attribute__((constructor)) static void begin(void) {
    const char *log = getenv("POWER_LOG");
    root = getenv("POWER_ROOT");
    if (!root || !log) return;
    root_length = strlen(root);
    log_descriptor = REAL(open)(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log_descriptor < 0) {
        perror("recorder: the log");
        abort();
    }
}

static int below_root(const char *path) {
    return log_descriptor >= 0 && !strncmp(path, root, root_length) &&
           (path[root_length] == '/' || path[root_length] == 0);
}

static void record(char kind, uint64_t file, uint64_t offset, const void *data, size_t length) {
    unsigned char head[21];
    uint32_t size = (uint32_t)length;
    int before = errno;
    head[0] = (unsigned char)kind;
    memcpy(head + 1, &file, 8);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, &size, 4);
    struct iovec parts[2] = {{head, sizeof head}, {(void *)data, length}};
    if (REAL(writev)(log_descriptor, parts, 2) != (ssize_t)(sizeof head + length)) {
        dprintf(2, "recorder: the log is cut short\n");
        abort();
    }
    errno = before;
}

static void record_paths(char kind, const char *from, const char *to) {
    char both[2 * PATH_MAX + 1];
    int length = snprintf(both, sizeof both, "%s%c%s", from, 0, to);
    record(kind, 0, 0, both, (size_t)length);
}

static int opened(int descriptor, int flags, int is_new) {
    struct stat status;
    char link[64], path[PATH_MAX];
    if (descriptor < 0 || descriptor >= DESCRIPTORS || log_descriptor < 0) return descriptor;
    int before = errno;
    ours[descriptor] = NOT_OURS;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length > 0) {
        path[length] = 0;
        if (below_root(path) && !fstat(descriptor, &status)) {
            file_of[descriptor] = status.st_ino;
            if (S_ISREG(status.st_mode)) {
                ours[descriptor] = OUR_FILE;
                if (is_new) record('C', status.st_ino, 0, path, (size_t)length);
                else if (flags & O_TRUNC) record('T', status.st_ino, 0, "", 0);
            } else if (S_ISDIR(status.st_mode)) {
                ours[descriptor] = OUR_DIRECTORY;
            }
        }
    }
    errno = before;
    return descriptor;
}

static int what(int descriptor) {
    return descriptor >= 0 && descriptor < DESCRIPTORS ? ours[descriptor] : NOT_OURS;
}

#define OPENING(name)                                                      \
    int name(const char *path, int flags, ...) {                           \
        va_list more;                                                      \
        va_start(more, flags);                                             \
        mode_t mode = va_arg(more, mode_t);                                \
        va_end(more);                                                      \
        int is_new = (flags & O_CREAT) && access(path, F_OK);              \
        return opened(REAL(name)(path, flags, mode), flags, is_new);       \
    }
OPENING(open)
OPENING(open64)

#define OPENING_AT(name)                                                            \
    int name(int at, const char *path, int flags, ...) {                            \
        va_list more;                                                               \
        va_start(more, flags);                                                      \
        mode_t mode = va_arg(more, mode_t);                                         \
        va_end(more);                                                               \
        int is_new = (flags & O_CREAT) && faccessat(at, path, F_OK, 0);             \
        return opened(REAL(name)(at, path, flags, mode), flags, is_new);            \
    }
OPENING_AT(openat)
OPENING_AT(openat64)

int close(int descriptor) {
    if (what(descriptor)) ours[descriptor] = NOT_OURS;
    return REAL(close)(descriptor);
}

ssize_t write(int descriptor, const void *data, size_t length) {
    if (what(descriptor) != OUR_FILE) return REAL(write)(descriptor, data, length);
    off_t from = fcntl(descriptor, F_GETFL) & O_APPEND ? lseek(descriptor, 0, SEEK_END)
                                                       : lseek(descriptor, 0, SEEK_CUR);
    ssize_t done = REAL(write)(descriptor, data, length);
    if (done > 0) record('W', file_of[descriptor], (uint64_t)from, data, (size_t)done);
    return done;
}

#define WRITING_AT(name, place)                                                                \
    ssize_t name(int descriptor, const void *data, size_t length, place offset) {              \
        ssize_t done = REAL(name)(descriptor, data, length, offset);                           \
        if (done > 0 && what(descriptor) == OUR_FILE)                                          \
            record('W', file_of[descriptor], (uint64_t)offset, data, (size_t)done);            \
        return done;                                                                           \
    }
WRITING_AT(pwrite, off_t)
WRITING_AT(pwrite64, off64_t)

#define TRUNCATING(name, place)                                                                \
    int name(int descriptor, place size) {                                                     \
        int failed = REAL(name)(descriptor, size);                                             \
        if (!failed && what(descriptor) == OUR_FILE)                                           \
            record('T', file_of[descriptor], (uint64_t)size, "", 0);                           \
        return failed;                                                                         \
    }
TRUNCATING(ftruncate, off_t)
TRUNCATING(ftruncate64, off64_t)

static int synced(int descriptor) {
    char link[64], path[PATH_MAX];
    if (what(descriptor) == OUR_FILE) {
        record('S', file_of[descriptor], 0, "", 0);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        ssize_t length = readlink(link, path, sizeof path);
        record('D', 0, 0, path, length > 0 ? (size_t)length : 0);
    }
    return 0;
}

int fsync(int descriptor) {
    return what(descriptor) ? synced(descriptor) : REAL(fsync)(descriptor);
}

int fdatasync(int descriptor) {
    return what(descriptor) ? synced(descriptor) : REAL(fdatasync)(descriptor);
}

int mkdir(const char *path, mode_t mode) {
    int failed = REAL(mkdir)(path, mode);
    if (!failed && below_root(path)) record('M', 0, 0, path, strlen(path));
    return failed;
}

int unlink(const char *path) {
    int failed = REAL(unlink)(path);
    if (!failed && below_root(path)) record('U', 0, 0, path, strlen(path));
    return failed;
}

int rename(const char *from, const char *to) {
    int failed = REAL(rename)(from, to);
    if (!failed && below_root(to)) record_paths('R', from, to);
    return failed;
}

int link(const char *from, const char *to) {
    int failed = REAL(link)(from, to);
    if (!failed && below_root(to)) record_paths('L', from, to);
    return failed;
}
