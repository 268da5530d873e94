// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <ctime>
#include <map>
#include <numeric>
#include <system_error>

#include "base/error.hpp"
#include "control/slurm_jobs.hpp"
#include "report/format.hpp"
#include "report/history.hpp"
#include "report/run_state.hpp"
#include "report/starts.hpp"
#include "report/table.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;

class SlurmText {
 public:
  explicit SlurmText(const fs::path& run_folder)
      : run_folder_(run_folder),
        queued_(read_queued_jobs(run_folder)),
        jobs_(queued_.jobs),
        queue_(queued_.queue),
        starts_(report::read_starts(run_folder)),
        state_(report::run_state_so_far(run_folder)) {}

  std::string text(int columns) const { return jobs_text(columns) + goodput_text(); }

 private:
  std::string jobs_text(int columns) const {
    if (jobs_.jobs.empty()) return "";
    report::Table table({{"job of"}, {"state"}, {"job"}, {"queue"}, {"", report::Align::kLeft, 1}});
    std::string stopped, elsewhere;
    bool any_lives = false;
    for (const SubmittedJob* job : current_jobs()) {
      const QueuedJob* queued = queued_.find(*job);
      const std::string state = state_of(*job), why = why_of(*job);
      any_lives = any_lives || (queued != nullptr && is_live(*queued));
      if (queued_.is_elsewhere(*job) && state != "done") elsewhere = job->cluster;
      if (stopped.empty() && state != "done") stopped = fmt::format("{}: {}", name_of(*job), why);
      table.add_row({name_of(*job), state, job->id,
                     queued != nullptr                             ? queued->state
                     : queue_.known && !queued_.is_elsewhere(*job) ? "gone"
                                                                   : "?",
                     why});
    }
    std::string text = fmt::format("\n{}", table.text(columns));
    if (!elsewhere.empty()) {
      text += fmt::format(
          "\nthis is cluster {}, whose queue does not have the jobs of cluster {}: ask there\n",
          queued_.cluster, elsewhere);
    } else if (!queue_.known) {
      text += "\nwhat the queue holds is not known: squeue is not here, or does not answer\n";
    } else if (!any_lives && stopped.empty() && is_to_go_on()) {
      text +=
          "\nthe chain of jobs has stopped: its last job could not submit the next one, see its "
          "output; `polyphase submit` goes on\n";
    } else if (!any_lives && !stopped.empty() && state_.rounds.ended.empty()) {
      text +=
          fmt::format("\nthe chain of jobs has stopped. {}; `polyphase submit` goes on\n", stopped);
    }
    return text;
  }

  // Rounds that have not ended, in jobs one after the other.
  bool is_to_go_on() const { return !state_.rounds.rounds.empty() && state_.rounds.ended.empty(); }

  // Of each phase the last one submitted.
  std::vector<const SubmittedJob*> current_jobs() const {
    std::vector<const SubmittedJob*> current;
    for (const SubmittedJob& job : jobs_.jobs) {
      if (jobs_.find(job.what) == &job) current.push_back(&job);
    }
    return current;
  }

  static std::string name_of(const SubmittedJob& job) {
    return job.what.starts_with(kPhase) ? job.what.substr(std::string(kPhase).size()) : job.what;
  }

  // The one that the job trains, or judges the round of; nullptr: not known.
  const report::PhaseState* phase_of(const SubmittedJob& job) const {
    const auto is_of = [&](const report::PhaseState& phase) {
      const std::string name = fmt::format("{} (round {})", phase.name, phase.round);
      return job.what == kPhase + phase.name || job.what == kPhase + name ||
             job.what == kTrial + name;
    };
    const auto found = std::find_if(state_.phases.begin(), state_.phases.end(), is_of);
    return found == state_.phases.end() ? nullptr : &*found;
  }

  const report::Start* last_start(const SubmittedJob& job) const {
    const report::Start* last = nullptr;
    for (const report::Start& start : starts_) {
      const bool other = !start.cluster.empty() && !job.cluster.empty() &&
                         start.cluster != job.cluster;  // whose number is the same
      if (!other && (start.job == job.id || start.array_job == job.id)) last = &start;
    }
    return last;
  }

  // A phase's own, until that is done: its job may have to judge a round behind it.
  std::string state_of(const SubmittedJob& job) const {
    const report::PhaseState* phase = phase_of(job);
    if (phase != nullptr && phase->state != "done") return phase->state;
    const report::Start* start = last_start(job);
    if (start == nullptr) {
      const QueuedJob* queued = queued_.find(job);
      const bool is_over = queued == nullptr || !is_live(*queued);
      return phase != nullptr && is_over ? "done" : "pending";
    }
    if (start->exit_code) {
      const int code = *start->exit_code;  // 80: all is done, short of its target
      return code == 0 || code == 80 ? "done" : code == 75 ? "interrupted" : "failed";
    }
    return start->ended == 0 ? "running" : "failed";
  }

  // Why a job waits, or ended as it did.
  std::string why_of(const SubmittedJob& job) const {
    const QueuedJob* queued = queued_.find(job);
    const report::Start* start = last_start(job);
    if (queued_.is_elsewhere(job) && (start == nullptr || start->ended == 0))
      return fmt::format("on cluster {}", job.cluster);
    if (queued != nullptr && is_live(*queued)) {
      if (queued->state == "PENDING" && start != nullptr)
        return fmt::format("{}; it was stopped and goes on", queued->reason);
      if (queued->state == "PENDING")
        return job.after.empty() ? queued->reason
                                 : fmt::format("{}, on job {}", queued->reason, job.after);
      return start != nullptr && start->restart > 0
                 ? fmt::format("started again {} times", start->restart)
                 : "";
    }
    if (start == nullptr) {
      if (queued != nullptr && !job.after.empty() && queued->state == "CANCELLED")
        return fmt::format("cancelled before it began, or job {} did not end well", job.after);
      return queued != nullptr ? "it ended before it began to train: see its output"
             : queue_.known    ? "no longer in the queue, and it never began"
                               : "";
    }
    if (queued != nullptr && queued->state == "CANCELLED") return "the job was cancelled";
    if (queued != nullptr && queued->state == "TIMEOUT")
      return "its time ended before it had saved and stopped";
    if (start->exit_code && *start->exit_code == 0) return "";
    if (!start->reason.empty()) return start->reason;
    if (const std::string failure = failure_of(job); !failure.empty()) return failure;
    if (start->ended == 0 && (queue_.known || queued != nullptr))
      return "it ended without a word: killed, or its node was lost";
    return "";
  }

  // What status.json says of the phase that the job was for.
  std::string failure_of(const SubmittedJob& job) const {
    for (const report::PhaseState& phase : state_.phases) {
      if ((job.what == kWholeRun || &phase == phase_of(job)) && phase.state == "failed")
        return phase.reason;
    }
    return "";
  }

  std::string goodput_text() const {
    std::vector<report::History> histories;
    for (const report::PhaseState& phase : state_.phases)
      histories.push_back(report::read_history(run_folder_ / phase.folder / "metrics.jsonl"));
    const auto goodput = report::goodput_of(starts_, histories, run_folder_, std::time(nullptr));
    return goodput ? "\n" + goodput->text() + "\n" : "";
  }

  fs::path run_folder_;
  const QueuedJobs queued_;
  const SlurmJobs& jobs_;
  const Queue& queue_;
  std::vector<report::Start> starts_;
  report::RunState state_;
};

}  // namespace

std::string slurm_text(const fs::path& run_folder, int columns) {
  return SlurmText(run_folder).text(columns);
}

}  // namespace polyphase
