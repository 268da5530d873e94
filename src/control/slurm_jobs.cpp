// SPDX-License-Identifier: Apache-2.0
#include "control/slurm_jobs.hpp"

#include <nlohmann/json.hpp>
#include <system_error>

#include "base/error.hpp"
#include "io/file.hpp"

namespace polyphase {
namespace {

using nlohmann::json;

std::filesystem::path file_of(const std::filesystem::path& run_folder) {
  return run_folder / "slurm" / "jobs.json";
}

}  // namespace

const SubmittedJob* SlurmJobs::find(const std::string& what) const {
  const SubmittedJob* last = nullptr;
  for (const SubmittedJob& job : jobs) {
    if (job.what == what) last = &job;
  }
  return last;
}

std::vector<std::string> SlurmJobs::ids() const {
  std::vector<std::string> all;
  for (const SubmittedJob& job : jobs) all.push_back(job.id);
  return all;
}

SlurmJobs read_slurm_jobs(const std::filesystem::path& run_folder) {
  const std::filesystem::path file = file_of(run_folder);
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return {};
  SlurmJobs jobs;
  try {
    const json object = json::parse(read_file(file));
    jobs.runs = object.at("runs").get<std::vector<std::string>>();
    for (const json& job : object.at("jobs")) {
      jobs.jobs.push_back({.what = job.at("what"),
                           .id = job.at("id"),
                           .script = job.at("script"),
                           .after = job.at("after"),
                           .time = job.at("time")});
    }
  } catch (const json::exception& error) {
    fail<DataError>("{}: not a list of Slurm jobs ({}); see the queue, and remove this file",
                    file.string(), error.what());
  }
  return jobs;
}

void write_slurm_jobs(const std::filesystem::path& run_folder, const SlurmJobs& jobs) {
  json list = json::array();
  for (const SubmittedJob& job : jobs.jobs) {
    list.push_back({{"what", job.what},
                    {"id", job.id},
                    {"script", job.script},
                    {"after", job.after},
                    {"time", job.time}});
  }
  write_file_atomically(file_of(run_folder),
                        json{{"runs", jobs.runs}, {"jobs", list}}.dump(1) + "\n");
}

}  // namespace polyphase
