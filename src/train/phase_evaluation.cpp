// SPDX-License-Identifier: Apache-2.0
#include "train/phase_evaluation.hpp"

#include <algorithm>

#include "base/clock.hpp"
#include "recipe/load.hpp"
#include "train/evaluate_corpora.hpp"

namespace polyphase {

PhaseEvaluation::PhaseEvaluation(const PhaseJob& job, PhaseCorpus& corpus, PhaseModel& model)
    : job_(job), phase_(phase_of(job)), corpus_(corpus), model_(model) {}

bool PhaseEvaluation::falls_due(std::int64_t step, std::int64_t total_steps,
                                const BatchStream& stream) const {
  if (!corpus_.has("valid")) return false;
  if (step == total_steps) return true;
  const std::int64_t every = phase_.evaluate.every_steps;
  if (every > 0) return step % every == 0;
  if (phase_.stop.steps) return step % std::max<std::int64_t>(1, total_steps / 10) == 0;
  for (std::int64_t epoch = 1; epoch < *phase_.stop.epochs; ++epoch) {
    if (step == stream.steps_of_epochs(epoch)) return true;
  }
  return false;
}

std::optional<PartMetrics> PhaseEvaluation::metrics_of(const std::string& part, std::int64_t step,
                                                       PhaseState& state, PhaseLog& log) {
  const auto known = newest_.find(part);
  if (known != newest_.end() && known->second.step == step) return known->second.metrics;
  const double begin = now_seconds();
  const auto tallies =
      tallies_of_corpora(tallies_by(model_), corpus_.open(part),
                         {.sample = corpus_.sample_settings(phase_key(phase_.name)),
                          .micro_batch = recipe::micro_batch_of(phase_),
                          .data_rank = job_.grid.data.rank(),
                          .num_data_ranks = job_.grid.data.size(),
                          .max_samples = part == "valid" ? phase_.evaluate.max_samples : 0},
                         job_.world, job_.grid, job_.stop);
  state.seconds += now_seconds() - begin;
  if (!tallies) return std::nullopt;
  const PartMetrics metrics = metrics_of_corpora(model_, *tallies, phase_);
  log.evaluation(step, part, metrics);
  newest_[part] = {step, metrics};
  return metrics;
}

}  // namespace polyphase
