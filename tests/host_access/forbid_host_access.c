// SPDX-License-Identifier: Apache-2.0
// A library to load into a program whose Kokkos has no device. What tensors lie in is the host's
// memory there, so that code of the host which touches it where a device would not let it goes
// unnoticed. Here it ends the program, by SIGSEGV, and says what was touched, and from where: the
// pages of every View are closed while no kernel, copy or region (KernelRegion, kernels/exec.hpp)
// is under way. What the host does within a region is not looked at. `addr2line -Cfe PROGRAM +0x…`
// names a call of those that it prints.
//
//   KOKKOS_PROFILE_LIBRARY  names this library
//   LD_PRELOAD              names it, too: Views then have pages of their own, and are closed from
//                           the first element to the last; all but the program's first, by which
//                           it is learnt where Kokkos calls malloc. Of that one, and of all without
//                           LD_PRELOAD or with a Kokkos that calls something else than malloc (3.4
//                           does not), the pages are closed that a View has to itself.
//   FORBID_HOST_ACCESS      always: they are closed every time. To close and open them takes as
//                           long as some kernels of tests; so, unless told otherwise, this is done
//                           the first times that the host goes on from a place, by the calls that
//                           led there, and rarely later.
#define _GNU_SOURCE
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// Kokkos's interface of tools, which is C.
struct Kokkos_Profiling_SpaceHandle {
  char name[64];
};

enum {
  kPage = 4096,
  kHeader = 128,  // of Kokkos, in front of a View's elements
  // Kokkos asks for 72 bytes more than header and elements, and begins at the first multiple of 64
  // that leaves it 8: from here on, elements begin with a page.
  kBeforePage = 64 + kHeader,
  kMostViews = 8192,
  kLeastBytes = kHeader + 72,
  kFirstTimes = 2,
  kRarely = 256,  // one time in so many
  kCalls = 10,    // that make a place
  kPlaces = 1 << 18,
};

struct View {
  char *allocation, *data;
  size_t num_bytes;
  char *first, *last;  // what is closed of it: whole pages
  char label[kHeader];
};

static struct View views[kMostViews];
static int num_views;
static int num_under_way;  // kernels, copies and regions
static int is_closed = 1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction handler_before;

// ---- Pages of their own ----

extern void* __libc_malloc(size_t num_bytes);
extern void __libc_free(void* data);

// The first page of what has pages of its own begins with this.
struct OwnPages {
  uint64_t mark;
  size_t num_bytes;
};
static const uint64_t kMark = 0x9d3f1c8ab7e64205;

static volatile int is_loaded;
static void* volatile kokkos_allocates;  // where it calls malloc, once that is known
static struct {
  char* data;
  size_t num_bytes;
  void* caller;
} newest;  // that could be a View's

static struct OwnPages* own_pages(void* data) {
  const uintptr_t address = (uintptr_t)data;
  struct OwnPages* const pages = (struct OwnPages*)(address & ~(uintptr_t)(kPage - 1));
  return address % kPage == kPage - kBeforePage && pages->mark == kMark ? pages : NULL;
}

void* malloc(size_t num_bytes) {
  if (!is_loaded) return __libc_malloc(num_bytes);
  void* const caller = __builtin_return_address(0);
  if (kokkos_allocates != NULL && caller == kokkos_allocates) {
    const size_t whole = (kPage - kBeforePage + num_bytes + kPage - 1) / kPage * kPage;
    char* const pages =
        mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return NULL;
    *(struct OwnPages*)pages = (struct OwnPages){kMark, whole};
    return pages + kPage - kBeforePage;
  }
  void* const data = __libc_malloc(num_bytes);
  if (kokkos_allocates == NULL && num_bytes > kLeastBytes) {
    newest.data = data;
    newest.num_bytes = num_bytes;
    newest.caller = caller;
  }
  return data;
}

void free(void* data) {
  struct OwnPages* const pages = data == NULL ? NULL : own_pages(data);
  if (pages == NULL) return __libc_free(data);
  munmap(pages, pages->num_bytes);
}

// ---- Closed and open ----

static void protect(const struct View* view, int protection) {
  if (view->first < view->last)
    mprotect(view->first, (size_t)(view->last - view->first), protection);
}

static void protect_all(int protection) {
  for (int i = 0; i < num_views; ++i) protect(&views[i], protection);
}

// Places of the program behind a kernel, and how often the host went on from there.
static struct {
  uint64_t hash;
  uint64_t times;
} places[kPlaces];
static int num_places;
static int always;

static int is_to_be_closed(void) {
  void* calls[kCalls];
  uint64_t hash = 14695981039346656037u;  // FNV-1a of the calls' addresses
  if (always || num_places == kPlaces / 2) return 1;
  for (int i = 0, num = backtrace(calls, kCalls); i < num; ++i)
    hash = (hash ^ (uint64_t)(uintptr_t)calls[i]) * 1099511628211u;
  uint64_t at = hash >> 40;
  while (places[at % kPlaces].times != 0 && places[at % kPlaces].hash != hash) ++at;
  num_places += places[at % kPlaces].times == 0;
  places[at % kPlaces].hash = hash;
  const uint64_t times = ++places[at % kPlaces].times;
  return times <= kFirstTimes || times % kRarely == 0;
}

static void begin(void) {
  pthread_mutex_lock(&mutex);
  if (num_under_way++ == 0 && is_closed) {
    protect_all(PROT_READ | PROT_WRITE);
    is_closed = 0;
  }
  pthread_mutex_unlock(&mutex);
}

static void end(void) {
  pthread_mutex_lock(&mutex);
  if (--num_under_way == 0 && is_to_be_closed()) {
    protect_all(PROT_NONE);
    is_closed = 1;
  }
  pthread_mutex_unlock(&mutex);
}

static void say_and_die(int number, siginfo_t* info, void* context) {
  const char* const touched = info->si_addr;
  const struct View* view = views;
  while (view < views + num_views && (touched < view->first || touched >= view->last)) ++view;
  if (view < views + num_views) {
    char text[512];
    const int length = snprintf(
        text, sizeof text,
        "host code touches byte %zu of the %zu of the tensors' memory \"%s\" while no kernel is "
        "under way: in a device's memory it must not (copy_to_host, copy_to_device). Called "
        "from:\n",
        (size_t)(touched - view->data), view->num_bytes, view->label);
    if (write(STDERR_FILENO, text, (size_t)length) != length) _exit(1);
    void* stack[64];
    backtrace_symbols_fd(stack, backtrace(stack, 64), STDERR_FILENO);
    signal(number, SIG_DFL);  // it is touched again
  } else {
    sigaction(number, &handler_before, NULL);
  }
  (void)context;
}

// ---- What Kokkos calls ----

void kokkosp_init_library(int sequence, uint64_t version, uint32_t num_devices, void* devices) {
  (void)sequence, (void)version, (void)num_devices, (void)devices;
  if (sysconf(_SC_PAGESIZE) != kPage) {
    fputs("forbid_host_access: not made for pages of this size\n", stderr);
    abort();
  }
  void* one;
  backtrace(&one, 1);  // loads what it needs while that can be done
  const char* const wish = getenv("FORBID_HOST_ACCESS");
  always = wish != NULL && strcmp(wish, "always") == 0;
  struct sigaction action = {.sa_sigaction = say_and_die, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, &handler_before);
  is_loaded = 1;
}

void kokkosp_finalize_library(void) { begin(); }  // for what is given back behind it

void kokkosp_allocate_data(struct Kokkos_Profiling_SpaceHandle space, const char* label,
                           const void* allocation, uint64_t num_bytes) {
  (void)space;
  char* const begins = (char*)(uintptr_t)allocation;
  if (kokkos_allocates == NULL && newest.data != NULL && begins >= newest.data &&
      begins + num_bytes <= newest.data + newest.num_bytes)
    kokkos_allocates = newest.caller;
  if (strcmp(label, "[unlabeled]") == 0) return;  // Kokkos's own, which have no header
  struct View view = {.allocation = begins, .data = begins + kHeader, .num_bytes = num_bytes};
  snprintf(view.label, sizeof view.label, "%s", label);
  const int has_own_pages = own_pages(view.data - kBeforePage) != NULL;
  const uintptr_t end = (uintptr_t)view.data + num_bytes + (has_own_pages ? kPage - 1 : 0);
  view.first = view.data + (kPage - (uintptr_t)view.data % kPage) % kPage;
  view.last = (char*)(end / kPage * kPage);
  pthread_mutex_lock(&mutex);
  if (num_views == kMostViews) abort();
  views[num_views++] = view;
  if (is_closed) protect(&view, PROT_NONE);
  pthread_mutex_unlock(&mutex);
}

void kokkosp_deallocate_data(struct Kokkos_Profiling_SpaceHandle space, const char* label,
                             const void* allocation, uint64_t num_bytes) {
  (void)space, (void)label, (void)num_bytes;
  pthread_mutex_lock(&mutex);
  for (int i = 0; i < num_views; ++i) {
    if (views[i].allocation != allocation) continue;
    protect(&views[i], PROT_READ | PROT_WRITE);
    views[i] = views[--num_views];
    break;
  }
  pthread_mutex_unlock(&mutex);
}

void kokkosp_push_profile_region(const char* name) { (void)name, begin(); }
void kokkosp_pop_profile_region(void) { end(); }

#define KERNELS_OF(kind)                                                                    \
  void kokkosp_begin_parallel_##kind(const char* name, uint32_t device, uint64_t* kernel) { \
    (void)name, (void)device, *kernel = 0, begin();                                         \
  }                                                                                         \
  void kokkosp_end_parallel_##kind(uint64_t kernel) { (void)kernel, end(); }
KERNELS_OF(for)
KERNELS_OF(reduce)
KERNELS_OF(scan)

void kokkosp_begin_deep_copy(struct Kokkos_Profiling_SpaceHandle to_space, const char* to_label,
                             const void* to, struct Kokkos_Profiling_SpaceHandle from_space,
                             const char* from_label, const void* from, uint64_t num_bytes) {
  (void)to_space, (void)to_label, (void)to, (void)from_space, (void)from_label, (void)from,
      (void)num_bytes;
  begin();
}
void kokkosp_end_deep_copy(void) { end(); }
