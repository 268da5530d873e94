// SPDX-License-Identifier: Apache-2.0
#include "control/next_jobs.hpp"

#include <system_error>

#include "base/error.hpp"
#include "control/batch_script.hpp"
#include "io/file.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;

// A job must not take the numbers of the one that submits it for its own.
constexpr const char* kGoOn =
    R"bash(last=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
last=${last:-$SLURM_JOB_ID}

# A queue that does not answer says nothing of the job.
is_gone() {
  local answer
  if answer=$(squeue --noheader --jobs="$1" 2>&1); then [[ -z $answer ]]; else [[ $answer == *"Invalid job id"* ]]; fi
}

# WHAT SCRIPT [OPTIONS OF sbatch]: submits the script to follow the last job.
go_on() {
  local what=$1 script=$2 id
  shift 2
  id=$(awk -F'|' -v what="$what" -v after="$last" '$1 == what && $4 == after {id = $2} END {print id}' "$list" 2>/dev/null)
  if [[ -z $id ]] || is_gone "$id"; then
    id=$(
      conf=${SLURM_CONF-}
      unset "${!SLURM@}" "${!SBATCH_@}" "${!SRUN_@}" POLYPHASE_JOB_STARTED POLYPHASE_OUTCOME
      if [[ -n $conf ]]; then export SLURM_CONF=$conf; fi
      sbatch --parsable --dependency="afterok:$last" --kill-on-invalid-dep=yes "$@" "$script"
    ) || return
    id=${id%%;*}
    echo "$what|$id|$script|$last|$(date -u +%FT%TZ)" >>"$list"
    echo "job $id: $script${*:+ }$*, after job $last"
  fi
  last=$id
}

)bash";

fs::path slurm_folder(const fs::path& run_folder) {
  return fs::absolute(run_folder / "slurm").lexically_normal();
}

}  // namespace

std::string next_jobs_text(const fs::path& slurm, const std::vector<std::int64_t>& rounds) {
  std::string text =
      "# What the rounds of this run go on with. The script of the job that wrote it reads it.\n";
  text += fmt::format("list={}\n", shell_word((slurm / kNextJobs).string())) + kGoOn;
  const auto script = [&](const char* name) { return shell_word((slurm / name).string()); };
  if (!rounds.empty()) {
    text += fmt::format("go_on 'rounds {}' {} --array={} &&\n  ", fmt::join(rounds, " "),
                        script(kTrialScript), fmt::join(rounds, ","));
  }
  return text + fmt::format("go_on run {}\n", script(kRunScript));
}

void require_scripts(const fs::path& run_folder) {
  std::error_code ignored;
  if (fs::exists(slurm_folder(run_folder) / kRunScript, ignored)) return;
  fail<RecipeError>(
      "{}: no script {} to go on with; `polyphase submit` makes it, or leave out --chain",
      slurm_folder(run_folder).string(), kRunScript);
}

void write_next_jobs(const fs::path& run_folder, const std::vector<std::int64_t>& rounds) {
  const fs::path slurm = slurm_folder(run_folder);
  write_file_atomically(slurm / kNextScript, next_jobs_text(slurm, rounds));
}

void remove_next_jobs(const fs::path& run_folder) {
  std::error_code error;
  fs::remove(slurm_folder(run_folder) / kNextScript, error);
  if (error) {
    fail<SystemError>("{}: cannot be removed: {}; check permissions and disk",
                      (slurm_folder(run_folder) / kNextScript).string(), error.message());
  }
}

}  // namespace polyphase
