// SPDX-License-Identifier: Apache-2.0
#include "control/slurm_jobs.hpp"

#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <system_error>

#include "base/error.hpp"
#include "control/next_jobs.hpp"
#include "io/file.hpp"
#include "io/json.hpp"

namespace polyphase {
namespace {

using nlohmann::json;

const std::string kTrials = "trials ", kRounds = " (rounds ";  // in an array's `what`
constexpr std::int64_t kMaxLinesBytes = 1 << 26;

std::filesystem::path file_of(const std::filesystem::path& run_folder) {
  return run_folder / "slurm" / "jobs.json";
}

SlurmJobs read_submitted(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return {};
  SlurmJobs jobs;
  try {
    const json object = parse_json(read_file(file));
    jobs.runs = object.at("runs").get<std::vector<std::string>>();
    for (const json& job : object.at("jobs")) {
      jobs.jobs.push_back({.what = job.at("what"),
                           .id = job.at("id"),
                           .script = job.at("script"),
                           .after = job.at("after"),
                           .time = job.at("time"),
                           .cluster = job.value("cluster", "")});
    }
  } catch (const json::exception& error) {
    fail<DataError>("{}: not a list of Slurm jobs ({}); see the queue, and remove this file",
                    file.string(), error.what());
  }
  return jobs;
}

// One of an array "trials NAME (rounds 2 4)" is a job "trial NAME (round 2)".
void add_line(const std::string& line, std::set<std::string>& known, SlurmJobs& jobs) {
  std::array<std::string, 6> parts;
  std::istringstream fields(line);
  for (std::string& part : parts) std::getline(fields, part, '|');
  const auto add = [&](const std::string& what, const std::string& id) {
    if (!known.insert(parts[5] + " " + id).second) return;
    jobs.jobs.push_back({.what = what,
                         .id = id,
                         .script = parts[2],
                         .after = parts[3],
                         .time = parts[4],
                         .cluster = parts[5]});
  };
  const std::size_t place = parts[0].rfind(kRounds);
  if (!parts[0].starts_with(kTrials) || place == std::string::npos) return add(parts[0], parts[1]);
  const std::string name = parts[0].substr(kTrials.size(), place - kTrials.size());
  std::istringstream rounds(parts[0].substr(place + kRounds.size()));
  for (std::int64_t round = 0; rounds >> round;)
    add(fmt::format("{}{} (round {})", kTrial, name, round), fmt::format("{}_{}", parts[1], round));
}

}  // namespace

std::string what_of_phase(const std::string& phase, std::int64_t round) {
  return round == 0 ? kPhase + phase : fmt::format("{}{} (round {})", kPhase, phase, round);
}

const SubmittedJob* SlurmJobs::find(const std::string& what) const {
  const SubmittedJob* last = nullptr;
  for (const SubmittedJob& job : jobs) {
    if (job.what == what) last = &job;
  }
  return last;
}

bool QueuedJobs::is_elsewhere(const SubmittedJob& job) const {
  return !job.cluster.empty() && !cluster.empty() && job.cluster != cluster;
}

const QueuedJob* QueuedJobs::find(const SubmittedJob& job) const {
  const auto found = queue.jobs.find(job.id);
  return is_elsewhere(job) || found == queue.jobs.end() ? nullptr : &found->second;
}

SlurmJobs read_slurm_jobs(const std::filesystem::path& run_folder) {
  SlurmJobs jobs = read_submitted(file_of(run_folder));
  const std::filesystem::path file = run_folder / "slurm" / kNextJobs;
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return jobs;
  std::set<std::string> known;
  for (const SubmittedJob& job : jobs.jobs) known.insert(job.cluster + " " + job.id);
  std::istringstream lines(read_file(file, kMaxLinesBytes));
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) add_line(line, known, jobs);
  }
  return jobs;
}

QueuedJobs read_queued_jobs(const std::filesystem::path& run_folder) {
  QueuedJobs now = {.jobs = read_slurm_jobs(run_folder), .queue = {}, .cluster = ""};
  if (now.jobs.jobs.empty()) return now;
  now.cluster = own_cluster();
  for (;;) {
    std::vector<std::string> ids;
    for (const SubmittedJob& job : now.jobs.jobs) {
      if (!now.is_elsewhere(job)) ids.push_back(job.id);
    }
    now.queue = read_queue(ids);
    SlurmJobs after = read_slurm_jobs(run_folder);
    const bool is_same = after.jobs.size() == now.jobs.jobs.size();
    now.jobs = std::move(after);
    if (is_same) return now;
  }
}

void write_slurm_jobs(const std::filesystem::path& run_folder, const SlurmJobs& jobs) {
  json list = json::array();
  for (const SubmittedJob& job : jobs.jobs) {
    list.push_back({{"what", job.what},
                    {"id", job.id},
                    {"script", job.script},
                    {"after", job.after},
                    {"time", job.time},
                    {"cluster", job.cluster}});
  }
  write_file_atomically(file_of(run_folder),
                        json{{"runs", jobs.runs}, {"jobs", list}}.dump(1) + "\n");
}

}  // namespace polyphase
