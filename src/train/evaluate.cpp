// SPDX-License-Identifier: Apache-2.0
#include "train/evaluate.hpp"

#include "train/fixed_tree.hpp"

namespace polyphase {

std::vector<Tally> sum_tallies(const std::vector<std::vector<Tally>>& mine,
                               const Communicator& data, Dealing dealing) {
  if (mine.empty()) return {};
  std::vector<Tally> totals;
  for (std::size_t o = 0; o < mine[0].size(); ++o) {
    std::vector<double> nats;
    std::vector<std::int64_t> sums(1);
    for (const std::vector<Tally>& micro_batch : mine) {
      const Tally& tally = micro_batch[o];
      nats.push_back(tally.nats);
      sums.resize(std::max(sums.size(), tally.counts.size() + 1));
      sums[0] += tally.num_terms;
      for (std::size_t c = 0; c < tally.counts.size(); ++c) sums[c + 1] += tally.counts[c];
    }
    // A rank whose micro-batches were all empty does not know how many counts there are.
    auto num_sums = static_cast<std::int64_t>(sums.size());
    data.max(&num_sums, 1);
    sums.resize(static_cast<std::size_t>(num_sums));
    data.sum(sums.data(), num_sums);
    std::vector<double> leaves = data.gather(nats);
    if (dealing == Dealing::kInTurn) {
      const std::vector<double> by_rank = leaves;
      const std::size_t n = nats.size(), ranks = by_rank.size() / n;
      for (std::size_t i = 0; i < by_rank.size(); ++i) leaves[i % n * ranks + i / n] = by_rank[i];
    }
    totals.push_back({.nats = fixed_tree_sum(leaves),
                      .num_terms = sums[0],
                      .counts = {sums.begin() + 1, sums.end()}});
  }
  return totals;
}

std::optional<std::map<std::string, double>> evaluate(PhaseModel& model, EvaluationStream& stream,
                                                      const Communicator& world,
                                                      const Communicator& data, StopRequest& stop) {
  std::vector<std::vector<Tally>> tallies;
  while (const std::optional<EvaluationBatch> next = stream.next()) {
    if (stop.agreed(world)) return std::nullopt;
    tallies.push_back(next->batch.num_sequences() > 0
                          ? model.evaluate(next->batch)
                          : std::vector<Tally>(model.objective_names().size()));
  }
  return model.metrics(sum_tallies(tallies, data, Dealing::kInTurn));
}

}  // namespace polyphase
