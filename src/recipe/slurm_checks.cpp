// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>

#include "base/error.hpp"
#include "recipe/checks.hpp"
#include "recipe/slurm.hpp"

namespace polyphase::recipe {
namespace {

constexpr double kDefaultWarnSeconds = 120;

class SlurmChecks {
 public:
  SlurmChecks(const std::map<std::string, Place>& places, Faults& faults)
      : places_(places), faults_(faults) {}

  // `own` as it is written at `path`, `whole` with what it takes from the section around.
  void check(const SlurmJob& own, const SlurmJob& whole, const std::string& path) {
    const std::int64_t nodes = whole.nodes.value_or(1), ranks = whole.ranks.value_or(nodes);
    if (ranks < nodes) {
      fault(path + ".ranks", "{} asks for {} ranks on {} nodes; a node has at least one", path,
            ranks, nodes);
    }
    const double warn = static_cast<double>(whole.warn_seconds.value_or(0));
    if (whole.time_seconds > 0 && whole.time_seconds <= (warn > 0 ? warn : kDefaultWarnSeconds)) {
      fault(path + ".time",
            "{}.time is {} s, all of which lies within the {} s before its end in which the ranks "
            "save; give more time, or fewer warn_seconds",
            path, whole.time_seconds, warn > 0 ? warn : kDefaultWarnSeconds);
    }
    check_word(own.partition, path + ".partition");
    check_word(own.account, path + ".account");
    check_word(own.qos, path + ".qos");
    for (const std::string& option : own.options) {
      if (!option.starts_with("-")) {
        fault(path + ".options", "{}.options: {} is no option of sbatch; write --key=value", path,
              quoted(option));
      }
      check_line(option, path + ".options");
    }
    for (const std::string& module : own.modules) check_line(module, path + ".modules");
    for (const std::string& line : own.setup) check_line(line, path + ".setup");
    check_line(own.launch, path + ".launch");
    check_line(own.program, path + ".program");
  }

 private:
  template <class... Args>
  void fault(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
    const std::string message = fmt::format(format, std::forward<Args>(args)...);
    faults_.add_unless_known(nearest_place(places_, path), message);
  }

  void check_word(const std::string& word, const std::string& path) {
    const bool blank =
        std::any_of(word.begin(), word.end(), [](unsigned char c) { return std::isspace(c) != 0; });
    if (blank) fault(path, "{} is {}; expected one word", path, quoted(word));
  }

  void check_line(const std::string& line, const std::string& path) {
    if (line.find_first_of("\n\r") != std::string::npos)
      fault(path, "{}: {} has a line end; write one line each", path, quoted(line));
  }

  const std::map<std::string, Place>& places_;
  Faults& faults_;
};

}  // namespace

void check_slurm(const Recipe& recipe, const std::map<std::string, Place>& places, Faults& faults) {
  SlurmChecks checks(places, faults);
  if (recipe.slurm) {
    checks.check(*recipe.slurm, *recipe.slurm, "slurm");
    if (recipe.slurm->prepare)
      checks.check(*recipe.slurm->prepare, slurm_job_of(recipe, nullptr), "slurm.prepare");
  }
  for (std::size_t i = 0; i < recipe.phases.size(); ++i) {
    const Phase& phase = recipe.phases[i];
    if (phase.slurm)
      checks.check(*phase.slurm, slurm_job_of(recipe, &phase), phase_path(recipe, i) + ".slurm");
  }
}

}  // namespace polyphase::recipe
