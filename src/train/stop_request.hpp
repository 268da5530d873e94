// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "comm/groups.hpp"

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

  // While groups of ranks work side by side, each of them agrees by itself, also on what another
  // has told. nullptr: all ranks agree together again.
  void work_beside(RankGroups* groups) { groups_ = groups; }
  // This rank's own wish, as it is told to other groups; 0: none.
  std::int64_t wish() const;
  // What a group tells that cannot go on: the others are to save and stop.
  static constexpr std::int64_t kFailure = 1001;
  // Takes over what others have agreed on, where this rank has not agreed yet. On all ranks.
  void take_over(const std::string& reason);
  const std::string& reason() const { return reason_; }

 private:
  double wall_time_seconds_;
  double start_seconds_;
  std::string reason_;
  RankGroups* groups_ = nullptr;
};

}  // namespace polyphase
