// SPDX-License-Identifier: Apache-2.0
#include "train/stop_request.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "base/clock.hpp"

namespace polyphase {
namespace {

volatile std::sig_atomic_t received_signal = 0;

extern "C" void remember_signal(int signal) { received_signal = signal; }

// Ranks send the number of the signal, this for the wall-time limit, or kFailure.
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

std::int64_t StopRequest::wish() const {
  const bool out_of_time =
      wall_time_seconds_ > 0 && now_seconds() - start_seconds_ >= wall_time_seconds_;
  return out_of_time ? kWallTime : std::int64_t{received_signal};
}

bool StopRequest::agreed(const Communicator& world) {
  if (!reason_.empty()) return true;
  std::int64_t agreed = wish();
  if (groups_ != nullptr && world.rank() == 0) agreed = std::max(agreed, groups_->heard());
  world.max(&agreed, 1);
  if (agreed == 0) return false;
  reason_ = agreed == kWallTime ? fmt::format("wall-time limit of {} s", wall_time_seconds_)
            : agreed == kFailure
                ? "another trial could not go on"
                : fmt::format("signal {} ({})", agreed, strsignal(static_cast<int>(agreed)));
  return true;
}

void StopRequest::take_over(const std::string& reason) {
  if (reason_.empty()) reason_ = reason;
}

}  // namespace polyphase
