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
// A rank gets on when it is told where it is, and with each exchange with other ranks that it has
// done (comm/job.hpp). A thread of each rank writes down where it stands, in the rank's line of
// kRanksFile, as often as once a second, and sixty times in its patience at most. Where a rank has
// not got on for as long as `patience_seconds`, another thread prints the lines of all ranks and
// ends the job with kStalled; kStalledFile tells the next job of it. Time in which that thread
// itself did not run does not count: a job may be suspended as a whole.
class Watchdog {
 public:
  // The run's folder is on a file system that all ranks share. 0 seconds: watches nothing.
  // Collective.
  Watchdog(const std::filesystem::path& run_folder, double patience_seconds,
           const Communicator& world);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void at(const std::string& phase, std::int64_t step);

  // While the rank waits for ranks that have work of their own for as long as it takes: to be
  // called now and then. It gets on as long as all ranks write their lines; one whose main thread
  // does not get on ends the job by itself.
  void wait_for_others();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace polyphase
