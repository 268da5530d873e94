// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <string>

#include "comm/communicator.hpp"

namespace polyphase {

// Lets signals that ask to stop be remembered from now on. A StopRequest does so too; programs call
// this before anything that takes time, or a signal that comes early kills them.
void remember_stop_signals();

// A wish to stop: SIGTERM, SIGINT, SIGUSR1 or SIGUSR2, or the recipe's wall-time limit. Handlers
// only set a flag; all ranks agree on it at a step boundary, so that they stop together.
class StopRequest {
 public:
  // Installs the handlers. wall_time_seconds counts from the program's start; 0: no limit.
  explicit StopRequest(double wall_time_seconds);

  // Collective over all ranks of `world`. Once true, it stays true.
  bool agreed(const Communicator& world);
  const std::string& reason() const { return reason_; }

 private:
  double wall_time_seconds_;
  double start_seconds_;
  std::string reason_;
};

}  // namespace polyphase
