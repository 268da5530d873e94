// SPDX-License-Identifier: Apache-2.0
#include "recipe/slurm_schema.hpp"

namespace polyphase::recipe {

void describe(Section& section, SlurmJob& job) {
  section.value("nodes", job.nodes, at_least(1));
  section.value("ranks", job.ranks, at_least(1));
  section.value("threads", job.threads, at_least(1));
  section.value("gpus", job.gpus, at_least(0));
  if (!section.writing() || job.time_seconds > 0) section.duration("time", job.time_seconds);
  section.value("warn_seconds", job.warn_seconds, at_least(1));
  section.value("partition", job.partition);
  section.value("account", job.account);
  section.value("qos", job.qos);
  section.value("options", job.options);
  section.value("modules", job.modules);
  section.value("setup", job.setup);
  section.value("launch", job.launch);
  section.value("program", job.program);
}

void describe(Section& section, Slurm& slurm) {
  describe(section, static_cast<SlurmJob&>(slurm));
  section.value("script", slurm.script);
  section.section("prepare", slurm.prepare);
}

}  // namespace polyphase::recipe
