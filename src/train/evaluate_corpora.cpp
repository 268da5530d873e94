// SPDX-License-Identifier: Apache-2.0
#include "train/evaluate_corpora.hpp"

#include <algorithm>

namespace polyphase {
namespace {

void add(const Tally& tally, Tally& sum) {
  sum.nats += tally.nats;
  sum.num_terms += tally.num_terms;
  sum.counts.resize(std::max(sum.counts.size(), tally.counts.size()));
  for (std::size_t c = 0; c < tally.counts.size(); ++c) sum.counts[c] += tally.counts[c];
  sum.records.insert(sum.records.end(), tally.records.begin(), tally.records.end());
}

}  // namespace

std::optional<std::vector<CorpusTallies>> tallies_of_corpora(const BatchTallies& evaluate,
                                                             const std::vector<CorpusPart>& parts,
                                                             const EvaluationSettings& settings,
                                                             const Communicator& world,
                                                             const RankGrid& grid,
                                                             StopRequest& stop) {
  std::vector<CorpusTallies> corpora;
  for (const CorpusPart& part : parts) {
    EvaluationStream stream(part.dataset, settings);
    auto tallies = evaluation_tallies(evaluate, stream, world, grid, stop);
    if (!tallies) return std::nullopt;
    corpora.push_back({.corpus = part.corpus,
                       .tallies = std::move(*tallies),
                       .num_samples = stream.num_samples()});
  }
  return corpora;
}

std::map<std::string, double> metrics_of_corpora(const PhaseModel& model,
                                                 const std::vector<CorpusTallies>& corpora,
                                                 const recipe::Phase& phase) {
  std::vector<Tally> sums(model.objective_names().size());
  std::map<std::string, double> all;
  for (const CorpusTallies& corpus : corpora) {
    for (std::size_t o = 0; o < sums.size(); ++o) add(corpus.tallies[o], sums[o]);
    if (phase.data.size() == 1) continue;
    for (const auto& [name, value] : model.metrics(corpus.tallies))
      all[corpus.corpus + "." + name] = value;
  }
  all.merge(model.metrics(sums));
  return all;
}

}  // namespace polyphase
