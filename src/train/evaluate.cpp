// SPDX-License-Identifier: Apache-2.0
#include "train/evaluate.hpp"

#include <array>
#include <bit>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "train/fixed_tree.hpp"

namespace polyphase {

namespace {

// One value of every micro-batch of every rank, in the order of all.
std::vector<double> gather_leaves(const std::vector<double>& mine, const Communicator& data,
                                  Dealing dealing) {
  const std::vector<double> by_rank = data.gather(mine);
  const auto n = std::ssize(mine), ranks = std::ssize(by_rank) / n;
  std::vector<double> leaves(by_rank.size());
  for (std::int64_t i = 0; i < std::ssize(by_rank); ++i)
    leaves[micro_batch_number(dealing, i / n, ranks, i % n, n)] = by_rank[i];
  return leaves;
}

// This rank's records of an objective, one micro-batch behind the other.
std::vector<double> records_of(const std::vector<std::vector<Tally>>& mine, std::size_t objective) {
  std::vector<double> values;
  for (const std::vector<Tally>& micro_batch : mine) {
    const std::vector<double>& records = micro_batch[objective].records;
    values.insert(values.end(), records.begin(), records.end());
  }
  return values;
}

// The records of every micro-batch of every rank, in the order of all; `longest` is the largest
// number of any rank's.
std::vector<double> gather_records(const std::vector<std::vector<Tally>>& mine,
                                   std::size_t objective, std::int64_t longest,
                                   const Communicator& data, Dealing dealing) {
  if (longest == 0) return {};
  std::vector<double> sizes, values = records_of(mine, objective);
  for (const std::vector<Tally>& micro_batch : mine)
    sizes.push_back(static_cast<double>(micro_batch[objective].records.size()));
  values.resize(static_cast<std::size_t>(longest));  // every rank gives the same count
  const std::vector<double> all_sizes = data.gather(sizes), all_values = data.gather(values);
  const auto n = std::ssize(sizes), ranks = std::ssize(all_sizes) / n;
  std::vector<std::vector<double>> leaves(all_sizes.size());
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    auto next = all_values.begin() + rank * longest;
    for (std::int64_t i = 0; i < n; ++i) {
      const auto end = next + static_cast<std::ptrdiff_t>(all_sizes[rank * n + i]);
      leaves[micro_batch_number(dealing, rank, ranks, i, n)].assign(next, end);
      next = end;
    }
  }
  std::vector<double> result;
  for (const std::vector<double>& leaf : leaves)
    result.insert(result.end(), leaf.begin(), leaf.end());
  return result;
}

// As text that keeps every bit.
std::string text_of(const std::vector<Tally>& tallies) {
  const auto bits = [](double value) { return std::bit_cast<std::uint64_t>(value); };
  nlohmann::json json = nlohmann::json::array();
  for (const Tally& tally : tallies) {
    nlohmann::json records = nlohmann::json::array();
    for (const double record : tally.records) records.push_back(bits(record));
    json.push_back({{"nats", bits(tally.nats)},
                    {"num_terms", tally.num_terms},
                    {"counts", tally.counts},
                    {"records", records},
                    {"divergence", bits(tally.divergence)}});
  }
  return json.dump();
}

std::vector<Tally> tallies_of(const std::string& text) {
  const auto value = [](const nlohmann::json& bits) {
    return std::bit_cast<double>(bits.get<std::uint64_t>());
  };
  std::vector<Tally> tallies;
  for (const nlohmann::json& json : nlohmann::json::parse(text)) {
    Tally& tally = tallies.emplace_back();
    tally.nats = value(json["nats"]);
    tally.num_terms = json["num_terms"];
    tally.counts = json["counts"].get<std::vector<std::int64_t>>();
    for (const nlohmann::json& record : json["records"]) tally.records.push_back(value(record));
    tally.divergence = value(json["divergence"]);
  }
  return tallies;
}

// Sums up what layers add to the losses of micro-batches, each on one of the stages, in one order
// wherever they are. Collective over the pipeline.
void join_layers(std::vector<std::vector<Tally>>& tallies, const Communicator& pipeline) {
  std::vector<double> layers;
  for (const std::vector<Tally>& micro_batch : tallies)
    for (const Tally& tally : micro_batch)
      layers.insert(layers.end(), tally.layers.begin(), tally.layers.end());
  if (layers.empty()) return;  // of all stages
  pipeline.combine(layers);
  auto next = layers.begin();
  for (std::vector<Tally>& micro_batch : tallies) {
    for (Tally& tally : micro_batch) {
      if (tally.layers.empty()) continue;
      const auto end = next + std::ssize(tally.layers);
      tally.nats = std::accumulate(next, end, 0.0);
      next = end;
    }
  }
}

}  // namespace

std::vector<Tally> sum_tallies(std::vector<std::vector<Tally>> mine, const RankGrid& grid,
                               Dealing dealing) {
  join_layers(mine, grid.pipeline);
  const int last = grid.pipeline.size() - 1;
  std::vector<Tally> totals;
  if (grid.pipeline.rank() == last) totals = sum_tallies(mine, grid.data, dealing);
  if (last == 0) return totals;
  return tallies_of(grid.pipeline.broadcast(text_of(totals), last));
}

std::vector<Tally> sum_tallies(const std::vector<std::vector<Tally>>& mine,
                               const Communicator& data, Dealing dealing) {
  if (mine.empty()) return {};
  std::vector<Tally> totals;
  for (std::size_t o = 0; o < mine[0].size(); ++o) {
    std::vector<double> nats, divergences;
    std::vector<std::int64_t> sums(1);
    for (const std::vector<Tally>& micro_batch : mine) {
      const Tally& tally = micro_batch[o];
      nats.push_back(tally.nats);
      divergences.push_back(tally.divergence);
      sums.resize(std::max(sums.size(), tally.counts.size() + 1));
      sums[0] += tally.num_terms;
      for (std::size_t c = 0; c < tally.counts.size(); ++c) sums[c + 1] += tally.counts[c];
    }
    // A rank whose micro-batches were all empty does not know how many counts there are.
    const bool diverges = std::any_of(divergences.begin(), divergences.end(),
                                      [](double divergence) { return divergence != 0.0; });
    std::array<std::int64_t, 3> largest = {static_cast<std::int64_t>(sums.size()),
                                           static_cast<std::int64_t>(records_of(mine, o).size()),
                                           diverges ? 1 : 0};
    data.max(largest.data(), 3);
    sums.resize(static_cast<std::size_t>(largest[0]));
    data.sum(sums.data(), largest[0]);
    totals.push_back({.nats = fixed_tree_sum(gather_leaves(nats, data, dealing)),
                      .num_terms = sums[0],
                      .counts = {sums.begin() + 1, sums.end()},
                      .records = gather_records(mine, o, largest[1], data, dealing)});
    if (largest[2] != 0)
      totals.back().divergence = fixed_tree_sum(gather_leaves(divergences, data, dealing));
  }
  return totals;
}

BatchTallies tallies_by(PhaseModel& model) {
  return [&model](std::span<const Batch> batches) { return model.evaluate(batches); };
}

std::optional<std::vector<Tally>> evaluation_tallies(const BatchTallies& evaluate,
                                                     EvaluationStream& stream,
                                                     const Communicator& world,
                                                     const RankGrid& grid, StopRequest& stop) {
  std::vector<std::vector<Tally>> tallies;
  const auto num_stages = static_cast<std::size_t>(grid.pipeline.size());
  std::optional<EvaluationBatch> next = stream.next();
  while (next) {
    std::vector<Batch> together;  // stages work on them side by side
    for (; next && together.size() < num_stages; next = stream.next())
      together.push_back(std::move(next->batch));
    if (stop.agreed(world)) return std::nullopt;
    for (std::vector<Tally>& one : evaluate(together)) tallies.push_back(std::move(one));
  }
  return sum_tallies(tallies, grid, Dealing::kInTurn);
}

}  // namespace polyphase
