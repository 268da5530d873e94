// SPDX-License-Identifier: Apache-2.0
#include "train/stop_request.hpp"

#include <fmt/format.h>

#include <csignal>
#include <cstring>

#include "base/clock.hpp"

namespace polyphase {
namespace {

volatile std::sig_atomic_t received_signal = 0;

extern "C" void remember_signal(int signal) { received_signal = signal; }

// Ranks send the number of the signal, or this for the wall-time limit.
constexpr std::int64_t kWallTime = 1000;

}  // namespace

void remember_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = remember_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) sigaction(signal, &action, nullptr);
}

StopRequest::StopRequest(double wall_time_seconds)
    : wall_time_seconds_(wall_time_seconds), start_seconds_(now_seconds()) {
  remember_stop_signals();
}

bool StopRequest::agreed(const Communicator& world) {
  if (!reason_.empty()) return true;
  std::int64_t wish = received_signal;
  if (wall_time_seconds_ > 0 && now_seconds() - start_seconds_ >= wall_time_seconds_)
    wish = kWallTime;
  world.max(&wish, 1);
  if (wish == 0) return false;
  reason_ = wish == kWallTime
                ? fmt::format("wall-time limit of {} s", wall_time_seconds_)
                : fmt::format("signal {} ({})", wish, strsignal(static_cast<int>(wish)));
  return true;
}

}  // namespace polyphase
