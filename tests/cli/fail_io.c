// SPDX-License-Identifier: Apache-2.0
// A library to preload: lets one call of a program to the file system go wrong, without a line of
// the program's own. It numbers the calls on paths below a folder, from 1 on, and writes them down.
//
//   FAIL_IO_FOLDER  absolute; calls elsewhere are passed on, unseen
//   FAIL_IO_LOG     gets a line a call: its number, its name and the path, parted by blanks
//   FAIL_IO_AT      number of the call that goes wrong; 0: none
//   FAIL_IO_HOW     an error's number: the call is not made (close: is made) and reports it;
//                   short: a write, or a reservation of blocks, does half of what it is asked for;
//                   torn: a write does half, then the process is killed;
//                   kill: the process is killed instead of the call
//   FAIL_IO_ROOM    bytes that may be written below the folder, then the disk is full (ENOSPC)
//   FAIL_IO_REFUSE  1: from call FAIL_IO_AT on, whatever would change something is refused as on a
//                   file system that is mounted read-only (EROFS), for root too, to whom
//                   permissions mean nothing
//   FAIL_IO_CLOCK   seconds by which the time of day is set forward (below 0: back)
//   FAIL_IO_RANK    only on this rank of an MPI job
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
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { kPass = 0, kShort = -1, kTorn = -2, kKill = -3 };  // else an error's number

static struct {
  char folder[PATH_MAX];
  size_t folder_bytes;
  int log;
  long at;
  int how;
  int refuse;
  int has_room;
  long clock;
} plan;
static atomic_long num_calls;
static atomic_long room_bytes;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static long number_from(const char* name) {
  const char* text = getenv(name);
  return text == NULL ? 0 : atol(text);
}

static int is_my_rank(void) {
  const char* wanted = getenv("FAIL_IO_RANK");
  const char* rank = getenv("OMPI_COMM_WORLD_RANK");
  if (rank == NULL) rank = getenv("PMI_RANK");
  return wanted == NULL || (rank != NULL && strcmp(wanted, rank) == 0);
}

__attribute__((constructor)) static void read_plan(void) {
  const char *folder = getenv("FAIL_IO_FOLDER"), *log = getenv("FAIL_IO_LOG"),
             *how = getenv("FAIL_IO_HOW");
  if (folder == NULL || !is_my_rank()) return;
  plan.clock = number_from("FAIL_IO_CLOCK");
  plan.at = number_from("FAIL_IO_AT");
  plan.refuse = number_from("FAIL_IO_REFUSE") != 0;
  plan.has_room = getenv("FAIL_IO_ROOM") != NULL;
  room_bytes = number_from("FAIL_IO_ROOM");
  if (how != NULL) {
    plan.how = strcmp(how, "short") == 0  ? kShort
               : strcmp(how, "torn") == 0 ? kTorn
               : strcmp(how, "kill") == 0 ? kKill
                                          : atoi(how);
  }
  plan.log = log == NULL ? -1 : REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  snprintf(plan.folder, sizeof plan.folder, "%s", folder);
  plan.folder_bytes = strlen(plan.folder);  // last: from here on calls count
}

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

// What is to become of a call on `path`, which is absolute. Calls that change nothing on disk are
// those with changes 0.
static int fate(const char* call, const char* path, int changes) {
  if (plan.folder_bytes == 0 || strncmp(path, plan.folder, plan.folder_bytes) != 0) return kPass;
  if (path[plan.folder_bytes] != '/' && path[plan.folder_bytes] != '\0') return kPass;
  const long number = atomic_fetch_add(&num_calls, 1) + 1;
  if (plan.log >= 0) {
    char line[PATH_MAX + 64];
    const int num = snprintf(line, sizeof line, "%ld %s %s\n", number, call, path);
    REAL(write)(plan.log, line, (size_t)num);
  }
  if (plan.refuse) return changes && number >= plan.at ? EROFS : kPass;
  if (number != plan.at) return kPass;
  if (plan.how == kKill) die();
  return plan.how;
}

static int fate_of_path(const char* call, int folder, const char* path, int changes) {
  char whole[2 * PATH_MAX], base[PATH_MAX] = "";
  if (path[0] == '/') return fate(call, path, changes);
  if (folder == AT_FDCWD) {
    if (getcwd(base, sizeof base) == NULL) return kPass;
  } else {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    const ssize_t num = readlink(link, base, sizeof base - 1);
    if (num < 0) return kPass;
    base[num] = '\0';
  }
  snprintf(whole, sizeof whole, "%s/%s", base, path);
  return fate(call, whole, changes);
}

static int fate_of_file(const char* call, int file, int changes) {
  char link[64], path[PATH_MAX];
  if (plan.folder_bytes == 0) return kPass;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t num = readlink(link, path, sizeof path - 1);
  if (num < 0) return kPass;
  path[num] = '\0';
  return fate(call, path, changes);
}

// Refuses a call with the error that its fate names, if it does.
#define REFUSE_IF(fate_value)                      \
  do {                                             \
    const int fate_now = (fate_value);             \
    if (fate_now > 0) return errno = fate_now, -1; \
  } while (0)

static int changes_by(int flags) { return (flags & (O_ACCMODE | O_CREAT | O_TRUNC)) != O_RDONLY; }

#define DEFINE_OPEN(name)                                               \
  int name(const char* path, int flags, ...) {                          \
    va_list more;                                                       \
    va_start(more, flags);                                              \
    const mode_t mode = va_arg(more, mode_t);                           \
    va_end(more);                                                       \
    REFUSE_IF(fate_of_path("open", AT_FDCWD, path, changes_by(flags))); \
    return REAL(name)(path, flags, mode);                               \
  }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_OPENAT(name)                                           \
  int name(int folder, const char* path, int flags, ...) {            \
    va_list more;                                                     \
    va_start(more, flags);                                            \
    const mode_t mode = va_arg(more, mode_t);                         \
    va_end(more);                                                     \
    REFUSE_IF(fate_of_path("open", folder, path, changes_by(flags))); \
    return REAL(name)(folder, path, flags, mode);                     \
  }
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

int creat(const char* path, mode_t mode) {
  REFUSE_IF(fate_of_path("open", AT_FDCWD, path, 1));
  return REAL(creat)(path, mode);
}

int mkostemp(char* pattern, int flags) {
  REFUSE_IF(fate_of_path("open", AT_FDCWD, pattern, 1));
  return REAL(mkostemp)(pattern, flags);
}

// Of so many bytes to write, how many shall be; the error's number (negative) when none.
static ssize_t allowed(int file, size_t num_bytes, int* torn) {
  const int now = fate_of_file("write", file, 1);
  if (now > 0) return -now;
  *torn = now == kTorn;
  if (now == kShort || now == kTorn) num_bytes = (num_bytes + 1) / 2;
  if (plan.has_room && now == kPass) {
    char link[64], path[PATH_MAX] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    if (readlink(link, path, sizeof path - 1) < 0 ||
        strncmp(path, plan.folder, plan.folder_bytes) != 0)
      return (ssize_t)num_bytes;
    const long left = atomic_fetch_sub(&room_bytes, (long)num_bytes);
    if (left <= 0) return -ENOSPC;
    if (left < (long)num_bytes) num_bytes = (size_t)left;
  }
  return (ssize_t)num_bytes;
}

#define WRITE_ALLOWED(asked, call)                 \
  int torn = 0;                                    \
  const ssize_t num = allowed(file, asked, &torn); \
  if (num < 0) return errno = (int)-num, -1;       \
  const ssize_t done = call;                       \
  if (torn) die();                                 \
  return done

ssize_t write(int file, const void* data, size_t num_bytes) {
  WRITE_ALLOWED(num_bytes, REAL(write)(file, data, (size_t)num));
}
ssize_t pwrite(int file, const void* data, size_t num_bytes, off_t offset) {
  WRITE_ALLOWED(num_bytes, REAL(pwrite)(file, data, (size_t)num, offset));
}
ssize_t pwrite64(int file, const void* data, size_t num_bytes, off64_t offset) {
  WRITE_ALLOWED(num_bytes, REAL(pwrite64)(file, data, (size_t)num, offset));
}

static ssize_t write_pieces(int file, const struct iovec* pieces, int count, size_t num_bytes) {
  ssize_t done = 0;
  for (int i = 0; i < count && num_bytes > 0; ++i) {
    const size_t part = pieces[i].iov_len < num_bytes ? pieces[i].iov_len : num_bytes;
    const ssize_t num = REAL(write)(file, pieces[i].iov_base, part);
    if (num < 0) return done > 0 ? done : -1;
    done += num;
    num_bytes -= (size_t)num;
    if ((size_t)num < part) break;
  }
  return done;
}

ssize_t writev(int file, const struct iovec* pieces, int count) {
  size_t all = 0;
  for (int i = 0; i < count; ++i) all += pieces[i].iov_len;
  WRITE_ALLOWED(all, (size_t)num == all ? REAL(writev)(file, pieces, count)
                                        : write_pieces(file, pieces, count, (size_t)num));
}

int fsync(int file) {
  REFUSE_IF(fate_of_file("sync", file, 0));
  return REAL(fsync)(file);
}
int fdatasync(int file) {
  REFUSE_IF(fate_of_file("sync", file, 0));
  return REAL(fdatasync)(file);
}

int close(int file) {
  const int now = fate_of_file("close", file, 0);
  const int result = REAL(close)(file);
  if (now > 0) return errno = now, -1;
  return result;
}

int fallocate(int file, int mode, off_t offset, off_t num_bytes) {
  REFUSE_IF(fate_of_file("reserve", file, 1));
  return REAL(fallocate)(file, mode, offset, num_bytes);
}
int fallocate64(int file, int mode, off64_t offset, off64_t num_bytes) {
  REFUSE_IF(fate_of_file("reserve", file, 1));
  return REAL(fallocate64)(file, mode, offset, num_bytes);
}
int ftruncate(int file, off_t num_bytes) {
  REFUSE_IF(fate_of_file("truncate", file, 1));
  return REAL(ftruncate)(file, num_bytes);
}
int ftruncate64(int file, off64_t num_bytes) {
  REFUSE_IF(fate_of_file("truncate", file, 1));
  return REAL(ftruncate64)(file, num_bytes);
}

int rename(const char* from, const char* to) {
  REFUSE_IF(fate_of_path("rename", AT_FDCWD, to, 1));
  return REAL(rename)(from, to);
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  REFUSE_IF(fate_of_path("rename", to_folder, to, 1));
  return REAL(renameat2)(from_folder, from, to_folder, to, flags);
}
int link(const char* from, const char* to) {
  REFUSE_IF(fate_of_path("link", AT_FDCWD, to, 1));
  return REAL(link)(from, to);
}
int mkdir(const char* path, mode_t mode) {
  REFUSE_IF(fate_of_path("mkdir", AT_FDCWD, path, 1));
  return REAL(mkdir)(path, mode);
}
int unlink(const char* path) {
  REFUSE_IF(fate_of_path("remove", AT_FDCWD, path, 1));
  return REAL(unlink)(path);
}
int unlinkat(int folder, const char* path, int flags) {
  REFUSE_IF(fate_of_path("remove", folder, path, 1));
  return REAL(unlinkat)(folder, path, flags);
}
int rmdir(const char* path) {
  REFUSE_IF(fate_of_path("remove", AT_FDCWD, path, 1));
  return REAL(rmdir)(path);
}
int remove(const char* path) {
  REFUSE_IF(fate_of_path("remove", AT_FDCWD, path, 1));
  return REAL(remove)(path);
}

int clock_gettime(clockid_t clock, struct timespec* now) {
  const int result = REAL(clock_gettime)(clock, now);
  if (result == 0 && clock == CLOCK_REALTIME) now->tv_sec += plan.clock;
  return result;
}
time_t time(time_t* now) {
  struct timespec precise;
  if (clock_gettime(CLOCK_REALTIME, &precise) != 0) return -1;
  if (now != NULL) *now = precise.tv_sec;
  return precise.tv_sec;
}
