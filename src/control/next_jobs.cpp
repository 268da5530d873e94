// SPDX-License-Identifier: Apache-2.0
#include "control/next_jobs.hpp"

#include <algorithm>
#include <system_error>

#include "base/digest.hpp"
#include "base/environment.hpp"
#include "base/error.hpp"
#include "control/batch_script.hpp"
#include "control/halving.hpp"
#include "io/file.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;

// A job must not take the numbers of the one that submits it for its own.
constexpr const char* kGoOn =
    R"bash(self=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
self=${self:-$SLURM_JOB_ID}

# Sets id to the other job in the queue that has this comment and has not come to nothing, or to nothing. Fails while the
# controller does not answer.
find_queued() {
  local queue number state comment
  queue=$(unset "${!SQUEUE_@}"; squeue --all --noheader --me --format='%F|%T %r|%k') || return
  id=
  while IFS='|' read -r number state comment; do
    if [[ $state == COMPLETING* || $state == *DependencyNeverSatisfied* ]]; then continue; fi
    if [[ $comment == "$1" && $number != "${self%_*}" ]]; then id=$number; fi
  done <<<"$queue"
}

# WHAT COMMENT DEPENDENCY ARRAY SCRIPT [ITS ARGUMENTS]: submits the script, unless it is in the queue; id becomes the job's
# number.
go_on() {
  local what=$1 comment=$2 after=$3 array=$4 script=$5 options try cluster=${SLURM_CLUSTER_NAME-}
  shift 5
  options=(--comment="$comment")
  if [[ -n $array ]]; then options+=(--array="$array" --output="${script%.sbatch}-%A_%a.out"); fi
  for try in {1..30}; do
    if find_queued "$comment"; then break; fi
    if ((try == 30)); then return 1; fi
    sleep 10
  done
  if [[ -z $id ]]; then
    id=$(
      conf=${SLURM_CONF-}
      unset "${!SLURM@}" "${!SBATCH_@}" "${!SRUN_@}" POLYPHASE_JOB_STARTED POLYPHASE_OUTCOME
      if [[ -n $conf ]]; then export SLURM_CONF=$conf; fi
      sbatch --parsable --dependency="$after" --kill-on-invalid-dep=yes "${options[@]}" "$script" "$@"
    ) || return
    if [[ $id == *\;* ]]; then cluster=${id#*;} id=${id%%;*}; fi
  fi
  after=${after#*:}
  echo "$what|$id|$script|${after//:/, }|$(date -u +%FT%TZ)|$cluster" >>"$run/slurm/jobs.txt"
  echo "job $id: $script${array:+ [$array]}${*:+ $*}, after job ${after//:/, }"
}

)bash";

}  // namespace

std::string stem_of_phase(std::size_t number, const std::string& name) {
  return fmt::format("{:02}-{}", number + 1, name);
}

const PhaseUse& last_phase_of(const Round& round) {
  POLYPHASE_PROMISE(!round.phases.empty(), "round {} has no phase", round.number);
  const auto own =
      std::find_if(round.phases.rbegin(), round.phases.rend(),
                   [&round](const PhaseUse& use) { return use.round == round.number; });
  return own == round.phases.rend() ? round.phases.back() : *own;
}

std::vector<PhaseUse> phases_for_jobs(const recipe::Recipe& recipe, const Round& round,
                                      const std::function<bool(const PhaseUse&)>& is_done) {
  const PhaseUse& last = last_phase_of(round);
  const recipe::Strategy* search = search_of(recipe, round);
  if (search != nullptr && search->search->ranks_per_trial > 0) return {last};
  std::vector<PhaseUse> uses;
  for (const PhaseUse& use : round.phases) {
    if (!is_done(use) || use.name == last.name) uses.push_back(use);
    if (use.name == last.name) break;
  }
  return uses;
}

std::string next_jobs_text(const fs::path& run_folder, const NextJobs& next) {
  const fs::path run = fs::absolute(run_folder).lexically_normal();
  std::string text = fmt::format(
      "# What the rounds of this run go on with. The script of the job that wrote it reads it.\n"
      "if [[ ${{SLURM_CLUSTER_NAME-}}:${{SLURM_JOB_ID-}} != {} ]]; then return 0; fi\nrun={}\n",
      shell_word(from_environment("SLURM_CLUSTER_NAME") + ":" + from_environment("SLURM_JOB_ID")),
      shell_word(run.string()));
  text += kGoOn;
  const auto script = [&run](const PhaseUse& use) {
    return shell_word((run / "slurm" / (stem_of_phase(use.number, use.name) + ".sbatch")).string());
  };
  std::string after = "afterok:$self";
  if (!next.trials.empty()) text += "arrays=\n";
  for (const Trials& trials : next.trials) {
    after = "afterok:$self";
    for (const PhaseUse& use : trials.phases) {
      const std::string what =
          fmt::format("trials {} (rounds {})", use.name, fmt::join(trials.rounds, " "));
      const std::string array = fmt::format("{}", fmt::join(trials.rounds, ","));
      text += fmt::format("go_on '{}' '{}' {} {} {} || return\n", what,
                          comment_of(what, run_folder, array), after, array, script(use));
      after = "aftercorr:$id";
    }
    text += "arrays+=:$id\n";
  }
  if (!next.trials.empty()) after = "afterok$arrays";
  for (const PhaseUse& use : next.phases) {
    const std::string what = fmt::format("phase {} (round {})", use.name, next.round);
    text += fmt::format("go_on '{}' '{}' {} '' {} --round {} || return\n", what,
                        comment_of(what, run_folder, ""), after, script(use), next.round);
    after = "afterok:$id";
  }
  return text;
}

std::string comment_of(const std::string& what, const fs::path& run_folder,
                       const std::string& array) {
  constexpr std::size_t kMostWords = 100;  // a list of rounds may be longer than Slurm takes
  const std::string all =
      fmt::format("{}\n{}\n{}", what, fs::absolute(run_folder).lexically_normal().string(), array);
  return fmt::format("polyphase {} {}", digest(all), what.substr(0, kMostWords));
}

void require_scripts(const fs::path& run_folder, const recipe::Recipe& recipe) {
  const fs::path slurm = fs::absolute(run_folder / "slurm").lexically_normal();
  for (std::size_t i = 0; i < recipe.phases.size(); ++i) {
    const std::string script = stem_of_phase(i, recipe.phases[i].name) + ".sbatch";
    std::error_code ignored;
    if (fs::exists(slurm / script, ignored)) continue;
    fail<RecipeError>(
        "{}: no script {} to go on with; `polyphase submit` makes it, or leave out --round",
        slurm.string(), script);
  }
}

void write_next_jobs(const fs::path& run_folder, const NextJobs& next) {
  write_file_atomically(run_folder / "slurm" / kNextScript, next_jobs_text(run_folder, next));
}

void withdraw_next_jobs(const fs::path& run_folder) {
  remove_file(run_folder / "slurm" / kNextScript);
}

}  // namespace polyphase
