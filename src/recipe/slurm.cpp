// SPDX-License-Identifier: Apache-2.0
#include "recipe/slurm.hpp"

#include "recipe/recipe.hpp"

namespace polyphase::recipe {
namespace {

void replace_where_set(SlurmJob& job, const SlurmJob& own) {
  const auto number = [](auto& field, const auto& value) {
    if (value) field = value;
  };
  const auto list = [](auto& field, const auto& value) {
    if (!value.empty()) field = value;
  };
  number(job.nodes, own.nodes);
  number(job.ranks, own.ranks);
  number(job.threads, own.threads);
  number(job.gpus, own.gpus);
  number(job.warn_seconds, own.warn_seconds);
  if (own.time_seconds > 0) job.time_seconds = own.time_seconds;
  list(job.partition, own.partition);
  list(job.account, own.account);
  list(job.qos, own.qos);
  list(job.options, own.options);
  list(job.modules, own.modules);
  list(job.setup, own.setup);
  list(job.launch, own.launch);
  list(job.program, own.program);
}

}  // namespace

SlurmJob slurm_job_of_all(const Recipe& recipe) {
  SlurmJob job;
  if (recipe.slurm) job = *recipe.slurm;
  return job;
}

SlurmJob slurm_job_of(const Recipe& recipe, const Phase* phase) {
  SlurmJob job = slurm_job_of_all(recipe);
  if (phase == nullptr) {
    if (recipe.slurm && recipe.slurm->prepare) replace_where_set(job, *recipe.slurm->prepare);
  } else if (phase->slurm) {
    replace_where_set(job, *phase->slurm);
  }
  return job;
}

}  // namespace polyphase::recipe
