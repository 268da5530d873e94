// SPDX-License-Identifier: Apache-2.0
#include "train/watchdog.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <fstream>
#include <mutex>
#include <sstream>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "comm/agreement.hpp"
#include "comm/job.hpp"
#include "io/run_lock.hpp"

namespace polyphase {
namespace {

constexpr std::size_t kLineBytes = 192;
// Shared file systems show a file's new state to other nodes after some seconds.
constexpr double kFileSystemSeconds = 10;

// What a rank's line says.
struct Sign {
  int rank = 0;
  std::int64_t beats = 0;         // how often its thread has written
  std::int64_t idle_seconds = 0;  // since the rank last got on
  std::int64_t step = 0;
  int waits = 0;
  std::string host = "-", phase = "-";
};

std::string padded(std::string line) {
  line.resize(kLineBytes - 1, ' ');
  return line + "\n";
}

std::string first_line() { return padded("rank beats idle-seconds step waits host phase"); }

std::string line_of(const Sign& sign) {
  return padded(fmt::format("{} {} {} {} {} {} {}", sign.rank, sign.beats, sign.idle_seconds,
                            sign.step, sign.waits, sign.host, sign.phase));
}

// One a rank; those whose line cannot be read have the beats of none.
std::vector<Sign> read_signs(const std::filesystem::path& file, int num_ranks) {
  std::ifstream lines(file);
  std::string line(kLineBytes, ' ');
  lines.read(line.data(), kLineBytes);
  std::vector<Sign> signs;
  for (int rank = 0; rank < num_ranks; ++rank) {
    Sign sign;
    std::fill(line.begin(), line.end(), ' ');
    lines.read(line.data(), kLineBytes);
    std::istringstream(line) >> sign.rank >> sign.beats >> sign.idle_seconds >> sign.step >>
        sign.waits >> sign.host >> sign.phase;
    sign.rank = rank;
    signs.push_back(sign);
  }
  return signs;
}

std::string text_of(const Sign& sign, bool runs) {
  const std::string where = sign.phase == "-"
                                ? "before its first phase"
                                : fmt::format("phase {}, step {}", sign.phase, sign.step);
  const std::string what = !runs        ? "DOES NOT RUN: stopped, gone, or its node is"
                           : sign.waits ? "waits for other ranks"
                                        : "IS BUSY BY ITSELF: others wait for it";
  return fmt::format("  rank {} on {}: {}; {}; idle for {} s", sign.rank, sign.host, where, what,
                     sign.idle_seconds);
}

void sleep_seconds(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

}  // namespace

struct Watchdog::State {
  const std::filesystem::path file, stalled_file;
  const double patience_seconds, pause_seconds;
  int num_ranks = 1;
  int descriptor = -1;
  std::mutex mutex;
  std::condition_variable_any woken;
  Sign sign;  // this and below: under mutex
  double idle_seconds = 0;
  // Of every rank as wait_for_others() saw them, and when that had changed. Main thread only.
  struct Seen {
    std::int64_t beats = -1;
    double seconds = 0;
  };
  std::vector<Seen> seen;
  double looked_seconds = 0;
  // Last: joined before what they use goes. A disk that does not answer stops the one that writes,
  // and not the one that watches.
  std::jthread writer, watcher;

  State(const std::filesystem::path& run_folder, double patience)
      : file(run_folder / kRanksFile),
        stalled_file(run_folder / kStalledFile),
        patience_seconds(patience),
        pause_seconds(std::min(patience / 8, std::max(1.0, patience / 60))) {}

  ~State() {
    for (std::jthread* thread : {&watcher, &writer}) {
      thread->request_stop();
      if (thread->joinable()) thread->join();
    }
    if (descriptor >= 0) ::close(descriptor);
  }

  // Calls work() again and again, the mutex locked, with a pause in between.
  template <class Work>
  void repeat(const std::stop_token& stop, const Work& work) {
    sigset_t all;  // signals go to the thread that trains
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    std::unique_lock lock(mutex);
    do {
      work(lock);
    } while (!woken.wait_for(lock, stop, std::chrono::duration<double>(pause_seconds),
                             [&] { return stop.stop_requested(); }));
  }

  void write(const std::stop_token& stop) {
    repeat(stop, [this](std::unique_lock<std::mutex>& lock) {
      ++sign.beats;
      sign.idle_seconds = static_cast<std::int64_t>(idle_seconds);
      sign.waits = waits_for_ranks() ? 1 : 0;
      const bool barks = idle_seconds >= patience_seconds;
      const std::string line = line_of(sign);
      lock.unlock();
      const auto offset = static_cast<off_t>(kLineBytes) * (sign.rank + 1);
      // What cannot be written is no reason to end a job that gets on.
      [[maybe_unused]] const ssize_t done = ::pwrite(descriptor, line.data(), line.size(), offset);
      if (barks) ::fdatasync(descriptor);  // so that other nodes see it
      lock.lock();
    });
  }

  void watch(const std::stop_token& stop) {
    double before = now_seconds();
    std::int64_t num_waits_before = -1;
    repeat(stop, [&, this](std::unique_lock<std::mutex>& lock) {
      const double now = now_seconds();
      idle_seconds += std::min(now - before, 2 * pause_seconds);
      before = now;
      const std::int64_t num_waits = num_waits_for_ranks();
      if (num_waits != num_waits_before) idle_seconds = 0;
      num_waits_before = num_waits;
      if (idle_seconds < patience_seconds) return;
      lock.unlock();
      bark();
    });
  }

  // All ranks that run come here at about the same time. The first one speaks and ends the job; the
  // others' lines go on to show that they run. Should the end not reach a rank, it ends by itself.
  [[noreturn]] void bark() {
    const double wait_seconds =
        2 * pause_seconds + std::min(patience_seconds / 4, kFileSystemSeconds);
    std::jthread last_resort([wait_seconds] {
      sleep_seconds(2 * wait_seconds + 10);
      _exit(static_cast<int>(kStalled));
    });
    const bool first =
        ::open(stalled_file.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644) >= 0 ||
        errno != EEXIST;
    if (!first) last_resort.join();
    const std::vector<Sign> before = read_signs(file, num_ranks);
    sleep_seconds(wait_seconds);
    const std::vector<Sign> after = read_signs(file, num_ranks);
    std::string text = fmt::format(
        "no rank got on for {} s (limits.watchdog); the job ends here, and the same command goes "
        "on from the last checkpoint\n",
        patience_seconds);
    for (std::size_t i = 0; i < after.size(); ++i)
      text += text_of(after[i], after[i].beats != before[i].beats) + "\n";
    fmt::print(stderr, "{}", text);
    std::fflush(stderr);
    tell_outcome(fmt::format("{}", static_cast<int>(kStalled)));
    abort_job(kStalled);
  }
};

Watchdog::Watchdog(const std::filesystem::path& run_folder, double patience_seconds,
                   const Communicator& world)
    : state_(std::make_unique<State>(run_folder, patience_seconds)) {
  if (patience_seconds <= 0) return;
  State& s = *state_;
  s.num_ranks = world.size();
  s.sign.rank = world.rank();
  s.sign.host = host_name();
  agree_on(world, [&] {
    if (world.rank() != 0) return;
    std::error_code ignored;
    std::filesystem::remove(s.stalled_file, ignored);
    std::ofstream fresh(s.file, std::ios::trunc);
    fresh << first_line();
    for (int rank = 0; rank < world.size(); ++rank) fresh << line_of({.rank = rank});
    fresh.close();
    if (!fresh) fail<SystemError>("{}: cannot be written: {}", s.file.string(), strerror(errno));
  });
  agree_on(world, [&] {
    s.descriptor = ::open(s.file.c_str(), O_WRONLY | O_CLOEXEC);
    if (s.descriptor < 0)
      fail<SystemError>("{}: cannot be opened: {}", s.file.string(), strerror(errno));
  });
  s.writer = std::jthread([&s](const std::stop_token& stop) { s.write(stop); });
  s.watcher = std::jthread([&s](const std::stop_token& stop) { s.watch(stop); });
}

Watchdog::~Watchdog() = default;

void Watchdog::at(const std::string& phase, std::int64_t step) {
  const std::scoped_lock lock(state_->mutex);
  state_->idle_seconds = 0;
  state_->sign.phase = phase;
  state_->sign.step = step;
}

void Watchdog::wait_for_others() {
  State& s = *state_;
  const double now = now_seconds();
  if (s.patience_seconds <= 0 || now - s.looked_seconds < s.pause_seconds) return;
  s.looked_seconds = now;
  const std::vector<Sign> signs = read_signs(s.file, s.num_ranks);
  s.seen.resize(signs.size());
  bool all_run = true;
  for (std::size_t i = 0; i < signs.size(); ++i) {
    if (signs[i].beats != s.seen[i].beats) s.seen[i] = {signs[i].beats, now};
    all_run = all_run && now - s.seen[i].seconds < s.patience_seconds;
  }
  if (!all_run) return;
  const std::scoped_lock lock(s.mutex);
  s.idle_seconds = 0;
}

}  // namespace polyphase
