/* Loaded before the system's library: at one call about the files of a folder, that call fails, is done by half, or
   kills the process. Who watches is told on MILLPOND_OUT of the hit, and of what was done behind it; and at the end
   how many calls there were. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* Those that change files: `strace -c` of the script shows no other. */
enum { WRITE, FDATASYNC, FSYNC, RENAME, UNLINK, OPEN, FTRUNCATE, MKDIR, CALLS };
static const char *const names[CALLS] = {"write", "fdatasync", "fsync", "rename", "unlink", "open", "ftruncate", "mkdir"};
enum { DO_IT, FAIL, HALF };

static const char *folder, *call, *how;
static long when;
static int out = -1;
static atomic_long counted[CALLS];
static atomic_int is_hit, is_full;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
  return dlsym(RTLD_NEXT, name);
}

static void say(const char *what, const char *name, const char *more) {
  char line[PATH_MAX + 64];
  int length = snprintf(line, sizeof line, "%s %s %s\n", what, name, more);
  if (out >= 0 && REAL(write)(out, line, length) != length) abort();
}

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("MILLPOND_OUT");
  folder = getenv("MILLPOND_FOLDER");
  call = getenv("MILLPOND_CALL");
  how = getenv("MILLPOND_HOW");
  when = atol(getenv("MILLPOND_WHEN") ? getenv("MILLPOND_WHEN") : "0");
  if (path) out = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

__attribute__((destructor)) static void end(void) {
  for (int number = 0; number < CALLS; number++) {
    char count[24];
    snprintf(count, sizeof count, "%ld", atomic_load(&counted[number]));
    say("count", names[number], count);
  }
}

/* Whether a path is the folder or lies in it. */
static int is_ours(const char *path) {
  size_t length = folder ? strlen(folder) : 0;
  return length > 0 && strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == 0);
}

/* The path behind a file descriptor, if it is ours. */
static int path_of(int fd, char *path) {
  char link[40];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = folder ? readlink(link, path, PATH_MAX - 1) : -1;
  if (length < 0) return 0;
  path[length] = 0;
  return is_ours(path);
}

/* The path that a name means beside a folder's descriptor, if it is ours. */
static int path_at(int fd, const char *name, char *path) {
  if (name[0] == '/' || fd == AT_FDCWD) {
    snprintf(path, PATH_MAX, "%s", name);
    return is_ours(path);
  }
  if (!path_of(fd, path)) return 0;
  size_t length = strlen(path);
  snprintf(path + length, PATH_MAX - length, "/%s", name);
  return 1;
}

/* What becomes of a call about a path of ours. */
static int fate(int number, const char *path) {
  long before = atomic_fetch_add(&counted[number], 1);
  if (atomic_load(&is_full) && number == WRITE) {
    errno = ENOSPC;
    return FAIL;
  }
  if (!call || strcmp(call, names[number]) != 0 || before + 1 != when) return DO_IT;
  say("hit", call, path + strlen(folder));
  atomic_store(&is_hit, 1);
  if (strcmp(how, "killed") == 0) {
    kill(getpid(), SIGKILL);
    pause();
  }
  if (strcmp(how, "short write") == 0) {
    atomic_store(&is_full, 1);
    return HALF;
  }
  errno = strcmp(how, "ENOSPC") == 0 ? ENOSPC : strcmp(how, "EMFILE") == 0 ? EMFILE : EIO;
  return FAIL;
}

static int fate_of_fd(int number, int fd) {
  char path[PATH_MAX];
  return path_of(fd, path) ? fate(number, path) : DO_IT;
}

static int fate_at(int number, int fd, const char *name) {
  char path[PATH_MAX];
  return path_at(fd, name, path) ? fate(number, path) : DO_IT;
}

ssize_t write(int fd, const void *bytes, size_t length) {
  int what = fate_of_fd(WRITE, fd);
  if (what == FAIL) return -1;
  if (fd == STDOUT_FILENO && atomic_load(&is_hit)) {
    char line[64];
    snprintf(line, sizeof line, "%.*s", (int)(length > 0 ? length - 1 : 0), (const char *)bytes);
    say("said", "-", line);
  }
  return REAL(write)(fd, bytes, what == HALF ? (length + 1) / 2 : length);
}

int fdatasync(int fd) { return fate_of_fd(FDATASYNC, fd) == FAIL ? -1 : REAL(fdatasync)(fd); }

int fsync(int fd) { return fate_of_fd(FSYNC, fd) == FAIL ? -1 : REAL(fsync)(fd); }

int rename(const char *from, const char *to) {
  return fate_at(RENAME, AT_FDCWD, to) == FAIL ? -1 : REAL(rename)(from, to);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
  return fate_at(RENAME, to_fd, to) == FAIL ? -1 : REAL(renameat)(from_fd, from, to_fd, to);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
  return fate_at(RENAME, to_fd, to) == FAIL ? -1 : REAL(renameat2)(from_fd, from, to_fd, to, flags);
}

int unlink(const char *path) { return fate_at(UNLINK, AT_FDCWD, path) == FAIL ? -1 : REAL(unlink)(path); }

int unlinkat(int fd, const char *name, int flags) {
  return fate_at(UNLINK, fd, name) == FAIL ? -1 : REAL(unlinkat)(fd, name, flags);
}

int ftruncate64(int fd, off64_t length) {
  return fate_of_fd(FTRUNCATE, fd) == FAIL ? -1 : REAL(ftruncate64)(fd, length);
}

int mkdir(const char *path, mode_t mode) {
  return fate_at(MKDIR, AT_FDCWD, path) == FAIL ? -1 : REAL(mkdir)(path, mode);
}

/* A new segment of the log, behind the hit. */
static int opened(int fd, const char *path, int flags) {
  size_t length = strlen(path);
  if (fd >= 0 && (flags & O_CREAT) && length > 4 && strcmp(path + length - 4, ".log") == 0 && atomic_load(&is_hit))
    say("segment", "-", path);
  return fd;
}

#define MODE(flags)                   \
  mode_t mode = 0;                    \
  if ((flags) & (O_CREAT | O_TMPFILE)) { \
    va_list more;                     \
    va_start(more, flags);            \
    mode = va_arg(more, mode_t);      \
    va_end(more);                     \
  }

int open64(const char *path, int flags, ...) {
  MODE(flags)
  return fate_at(OPEN, AT_FDCWD, path) == FAIL ? -1 : opened(REAL(open64)(path, flags, mode), path, flags);
}

int open(const char *path, int flags, ...) {
  MODE(flags)
  return fate_at(OPEN, AT_FDCWD, path) == FAIL ? -1 : opened(REAL(open)(path, flags, mode), path, flags);
}

int openat64(int fd, const char *path, int flags, ...) {
  MODE(flags)
  return fate_at(OPEN, fd, path) == FAIL ? -1 : opened(REAL(openat64)(fd, path, flags, mode), path, flags);
}

int openat(int fd, const char *path, int flags, ...) {
  MODE(flags)
  return fate_at(OPEN, fd, path) == FAIL ? -1 : opened(REAL(openat)(fd, path, flags, mode), path, flags);
}
