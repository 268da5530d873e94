// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "comm/communicator.hpp"

namespace polyphase {

// The exit code of a job that a watchdog has ended; the same command goes on.
constexpr ExitCode kStalled = ExitCode{76};

// Ends a job whose ranks no longer get on. A rank that was stopped, that loops, or whose disk does
// not answer would keep all others waiting for good.
//
// A thread of each rank writes what its rank last told to the rank's line of one file, as often as
// once a second, and sixty times in its patience at most. Where a rank has told nothing for as long
// as `patience_seconds`, its thread prints the lines of all ranks and ends the job with kStalled.
// Time in which the thread itself did not run does not count: a job may be suspended as a whole.
class Watchdog {
 public:
  // `file` is on a file system that all ranks share; rank 0 makes it. 0 seconds: watches nothing.
  // Collective.
  Watchdog(std::filesystem::path file, double patience_seconds, const Communicator& world);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // This rank lives.
  void alive();
  // And is here.
  void at(const std::string& phase, std::int64_t step);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace polyphase
