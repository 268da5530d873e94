// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "report/history.hpp"

// Every start of a job on a run folder, as plain data: RUN/starts.json. It tells how much of the
// allocated time trained.
namespace polyphase::report {

inline constexpr const char* kStartsFile = "starts.json";

struct Start {
  std::string job;               // Slurm's number of it; "" outside of Slurm
  std::string array_job;         // in an array also "12_0"
  std::string cluster;           // whose number it is; "": not known
  std::int64_t restart = 0;      // how often Slurm had started it before
  std::int64_t begun = 0;        // seconds since 1970: when the job got its nodes, if it says so
  std::int64_t ended = 0;        // 0: it runs, or was killed
  std::int64_t progress = 0;     // of the run when it began
  std::optional<int> exit_code;  // none: it runs, was killed, or failed
  std::string reason;            // why it stopped
};

std::string to_text(const std::vector<Start>& starts);  // of the file

// With those of jobs that trained a round alone (RUN/round-N/starts.json), in the order in which
// they began. Empty when there is none, or none that can be read.
std::vector<Start> read_starts(const std::filesystem::path& run_folder);

// Seconds from its beginning to its end. Of a start without an end: until `now` if the run's lock
// is there and it is the last one, else until its run wrote its last line of metrics.
double seconds_of(const std::vector<Start>& starts, std::size_t index,
                  const std::filesystem::path& run_folder, std::int64_t now);

// Those of the run's rounds.
std::vector<std::filesystem::path> round_folders(const std::filesystem::path& run_folder);
// round-1/01-pretrain and its like; of one round, or of all for 0.
std::vector<std::filesystem::path> phase_folders(const std::filesystem::path& run_folder,
                                                 std::int64_t round = 0);

// Seconds since 1970 at which the run, or a round of it, last wrote something.
std::int64_t last_sign_of_life(const std::filesystem::path& run_folder, std::int64_t round = 0);

// How much of the time that the starts had went into steps that count: those that a kill undid are
// no longer in the metrics.
struct Goodput {
  std::size_t num_starts = 0;
  double allocated_seconds = 0, useful_seconds = 0;

  double share() const;
  std::string text() const;  // "goodput 87 %: of the 1:02:03 that 3 starts had, …"
};
// Nothing where no time was had.
std::optional<Goodput> goodput_of(const std::vector<Start>& starts,
                                  const std::vector<History>& phases,
                                  const std::filesystem::path& run_folder, std::int64_t now);

}  // namespace polyphase::report
