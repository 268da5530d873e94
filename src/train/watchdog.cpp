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
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "comm/agreement.hpp"
#include "comm/job.hpp"

namespace polyphase {
namespace {

constexpr std::size_t kLineBytes = 192;
// Shared file systems show a file's new state to other nodes after some seconds.
constexpr double kFileSystemSeconds = 10;

std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "?";
}

// What a rank's line says.
struct Sign {
  int rank = 0;
  std::int64_t beats = 0;         // how often its thread has written
  std::int64_t idle_seconds = 0;  // since the rank's last sign of life
  std::int64_t step = -1;
  int waits = 0;
  std::string host, phase;
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

std::vector<Sign> read_signs(const std::filesystem::path& file) {
  std::vector<Sign> signs;
  std::ifstream lines(file);
  std::string names;
  std::getline(lines, names);
  Sign sign;
  while (lines >> sign.rank >> sign.beats >> sign.idle_seconds >> sign.step >> sign.waits >>
         sign.host >> sign.phase)
    signs.push_back(sign);
  return signs;
}

std::string text_of(const Sign& sign, bool runs) {
  const std::string where = sign.phase == "-"
                                ? "before the first step of this job"
                                : fmt::format("phase {}, step {}", sign.phase, sign.step);
  const std::string what = !runs        ? "DOES NOT RUN: stopped, gone, or its node is"
                           : sign.waits ? "waits for other ranks"
                                        : "IS BUSY BY ITSELF: others wait for it";
  return fmt::format("  rank {} on {}: {}; {}; idle for {} s", sign.rank, sign.host, where, what,
                     sign.idle_seconds);
}

}  // namespace

struct Watchdog::State {
  const std::filesystem::path file;
  const double patience_seconds, pause_seconds;
  int descriptor = -1;
  std::mutex mutex;
  std::condition_variable_any woken;
  Sign sign;  // this and below: under mutex
  double idle_seconds = 0;
  std::jthread thread;  // last: joined before what it uses goes

  State(std::filesystem::path file_in, double patience)
      : file(std::move(file_in)),
        patience_seconds(patience),
        pause_seconds(std::min(patience / 8, std::max(1.0, patience / 60))) {}

  ~State() {
    thread.request_stop();
    if (thread.joinable()) thread.join();
    if (descriptor >= 0) ::close(descriptor);
  }

  void watch(const std::stop_token& stop) {
    sigset_t all;  // signals go to the thread that trains
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    std::unique_lock lock(mutex);
    double before = now_seconds();
    for (;;) {
      write();
      if (woken.wait_for(lock, stop, std::chrono::duration<double>(pause_seconds),
                         [&] { return stop.stop_requested(); }))
        return;
      const double now = now_seconds();
      idle_seconds += std::min(now - before, 2 * pause_seconds);
      before = now;
      if (idle_seconds >= patience_seconds) bark();
    }
  }

  // What cannot be written is no reason to end a job that gets on.
  void write() {
    ++sign.beats;
    sign.idle_seconds = static_cast<std::int64_t>(idle_seconds);
    sign.waits = waits_for_ranks() ? 1 : 0;
    const std::string line = line_of(sign);
    const auto offset = static_cast<off_t>(kLineBytes) * (sign.rank + 1);
    [[maybe_unused]] const ssize_t written = ::pwrite(descriptor, line.data(), line.size(), offset);
  }

  // All ranks that run come here at about the same time. The first one speaks and ends the job; the
  // others go on to show that they run. Should the end not reach a rank, it ends by itself.
  [[noreturn]] void bark() {
    const std::string claim = file.string() + ".ended";
    const bool first = ::open(claim.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644) >= 0 ||
                       errno != EEXIST;
    // In this time each rank that runs has written again.
    const double wait_seconds = 2 * pause_seconds + std::min(pause_seconds, kFileSystemSeconds);
    std::jthread last_resort([wait_seconds] {
      std::this_thread::sleep_for(std::chrono::duration<double>(2 * wait_seconds + 10));
      _exit(static_cast<int>(kStalled));
    });
    const std::vector<Sign> before = read_signs(file);
    for (double waited = 0; waited < wait_seconds || !first; waited += pause_seconds) {
      write();
      std::this_thread::sleep_for(std::chrono::duration<double>(pause_seconds));
    }
    std::string text = fmt::format(
        "no rank got on for {} s (limits.watchdog); the job ends here, and the same command goes "
        "on from the last checkpoint\n",
        patience_seconds);
    const std::vector<Sign> after = read_signs(file);
    for (std::size_t i = 0; i < after.size(); ++i) {
      const bool runs = i >= before.size() || after[i].beats != before[i].beats;
      text += text_of(after[i], runs) + "\n";
    }
    fmt::print(stderr, "{}", text);
    std::fflush(stderr);
    if (const char* outcome = std::getenv("POLYPHASE_OUTCOME"))
      std::ofstream(outcome) << static_cast<int>(kStalled) << "\n";
    abort_job(kStalled);
  }
};

Watchdog::Watchdog(std::filesystem::path file, double patience_seconds, const Communicator& world)
    : state_(std::make_unique<State>(std::move(file), patience_seconds)) {
  if (patience_seconds <= 0) return;
  State& s = *state_;
  s.sign.rank = world.rank();
  s.sign.host = host_name();
  s.sign.phase = "-";
  agree_on(world, [&] {
    if (world.rank() != 0) return;
    std::error_code ignored;
    std::filesystem::remove(s.file.string() + ".ended", ignored);
    std::ofstream fresh(s.file, std::ios::trunc);
    fresh << first_line() << std::flush;
    if (!fresh) fail<SystemError>("{}: cannot be written: {}", s.file.string(), strerror(errno));
  });
  agree_on(world, [&] {
    s.descriptor = ::open(s.file.c_str(), O_WRONLY | O_CLOEXEC);
    if (s.descriptor < 0)
      fail<SystemError>("{}: cannot be opened: {}", s.file.string(), strerror(errno));
  });
  s.thread = std::jthread([&s](const std::stop_token& stop) { s.watch(stop); });
}

Watchdog::~Watchdog() = default;

void Watchdog::alive() {
  const std::scoped_lock lock(state_->mutex);
  state_->idle_seconds = 0;
}

void Watchdog::at(const std::string& phase, std::int64_t step) {
  const std::scoped_lock lock(state_->mutex);
  state_->idle_seconds = 0;
  state_->sign.phase = phase;
  state_->sign.step = step;
}

}  // namespace polyphase
