// SPDX-License-Identifier: Apache-2.0
#include "control/batch_script.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "base/error.hpp"

namespace polyphase {
namespace {

// Lines of the template behind which the recipe's come.
constexpr const char* kResources = "# submit: resources";
constexpr const char* kSetup = "# submit: setup";

bool is_plain(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         std::string("-_./=:,%+@").find(c) != std::string::npos;
}

// sbatch reads its lines with quotes much as a shell does.
std::string option(const std::string& name, const std::string& value) {
  return fmt::format("#SBATCH --{}={}\n", name, shell_word(value));
}

std::string option(const std::string& name, const std::optional<std::int64_t>& value) {
  return value ? option(name, fmt::format("{}", *value)) : "";
}

// Slurm counts in minutes; what is less than one counts as one.
std::string time_text(double seconds) {
  const std::int64_t whole = static_cast<std::int64_t>(std::ceil(seconds));
  return fmt::format("{:02}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string resource_lines(const BatchJob& job) {
  const recipe::SlurmJob& asked = job.resources;
  std::string text =
      option("job-name", job.name) + option("chdir", job.folder) + option("output", job.output);
  if (!job.seeds.empty()) text += option("array", fmt::format("0-{}", job.num_runs - 1));
  text += option("nodes", asked.nodes);
  text += option("ntasks", asked.ranks ? asked.ranks : asked.nodes);
  text += option("cpus-per-task", asked.threads);
  if (asked.gpus.value_or(0) > 0) text += option("gpus-per-task", asked.gpus);
  if (asked.time_seconds > 0) text += option("time", time_text(asked.time_seconds));
  if (asked.warn_seconds) text += option("signal", fmt::format("B:USR1@{}", *asked.warn_seconds));
  if (!asked.partition.empty()) text += option("partition", asked.partition);
  if (!asked.account.empty()) text += option("account", asked.account);
  if (!asked.qos.empty()) text += option("qos", asked.qos);
  for (const std::string& own : asked.options) text += fmt::format("#SBATCH {}\n", own);
  return text;
}

std::string setup_lines(const BatchJob& job) {
  const recipe::SlurmJob& asked = job.resources;
  std::string text;
  if (!asked.launch.empty()) text += fmt::format("launch=({})\n", asked.launch);
  text += fmt::format("program=({})\n",
                      asked.program.empty() ? shell_word(job.program) : asked.program);
  for (const std::string& module : asked.modules) text += fmt::format("module load {}\n", module);
  for (const std::string& line : asked.setup) text += line + "\n";
  if (!job.seeds.empty()) text += fmt::format("seeds={}\n", job.seeds);
  if (!job.next_jobs.empty()) text += fmt::format("next_jobs={}\n", job.next_jobs);
  return text + fmt::format("command=({})\n", job.command);
}

// Behind the end of the line that begins with `mark`.
std::size_t place_of(const std::string& text, const std::string& mark, const std::string& name) {
  std::size_t start = text.find("\n" + mark);
  const std::size_t end = start == std::string::npos ? start : text.find('\n', start + 1);
  if (end == std::string::npos) {
    fail<RecipeError>(
        "{}: no line \"{}\", behind which the recipe's values would come; begin with a copy of "
        "slurm/phase.sbatch",
        name, mark);
  }
  return end + 1;
}

}  // namespace

std::string shell_word(const std::string& word) {
  if (!word.empty() && std::all_of(word.begin(), word.end(), is_plain)) return word;
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

std::string shell_words(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + shell_word(word);
  return text;
}

std::string batch_script(const std::string& text, const std::string& name, const BatchJob& job) {
  std::string script = text;
  if (!job.next_jobs.empty() && text.find("$next_jobs") == std::string::npos) {
    fail<RecipeError>(
        "{}: does not read the file $next_jobs at its end, as slurm/phase.sbatch does: the rounds "
        "would end with the first one; begin with a copy of it, or submit with --one-job",
        name);
  }
  script.insert(place_of(script, kSetup, name), setup_lines(job));
  script.insert(place_of(script, kResources, name), resource_lines(job));
  return script;
}

}  // namespace polyphase
