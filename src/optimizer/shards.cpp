// SPDX-License-Identifier: Apache-2.0
#include "optimizer/shards.hpp"

#include <algorithm>

#include "optimizer/treatment.hpp"
#include "optimizer/update_rule.hpp"

namespace polyphase {
namespace {

constexpr int kBlocks = 64;  // of rows, that a large matrix may be cut between
constexpr double kUneven = 1.1;

// What stays together, with its weight: numbers that are updated and kept, of all tensor-parallel
// ranks, so that these divide alike.
struct Unit {
  StorageRange range;
  std::int64_t weight = 0;
};

std::int64_t weight_of(const Parameter& parameter, const UpdateRule& rule,
                       const recipe::Phase& phase) {
  const std::vector<std::int64_t>& shape = parameter.spec.global_shape;
  std::int64_t weight = num_elements(shape);
  if (phase.regularisation.average) weight *= 2;
  for (const StateSpec& spec : rule.state_of(parameter)) {
    weight += spec.extent == StateExtent::kWhole  ? num_elements(shape)
              : spec.extent == StateExtent::kRows ? shape[0]
                                                  : shape[1];
  }
  return weight;
}

bool is_matrix(const Parameter& parameter) { return parameter.local_shape.size() == 2; }

bool may_be_cut(const Parameter& parameter, const UpdateRule& rule) {
  return is_matrix(parameter) && rule.is_element_wise(parameter) &&
         parameter.spec.split_dimension <= 0;
}

void add_parts(std::vector<Unit>& units, const Parameter& parameter, std::int64_t weight) {
  const std::vector<StorageRange> parts = parts_of(parameter);
  for (const StorageRange& part : parts) {
    units.push_back(
        {.range = {.begin = parameter.offset + part.begin, .end = parameter.offset + part.end},
         .weight = weight / static_cast<std::int64_t>(parts.size())});
  }
}

// How many ranks it takes when none may have more than `limit`, filled one after the other.
std::size_t num_runs(const std::vector<Unit>& units, std::int64_t limit) {
  std::size_t runs = 1;
  std::int64_t weight = 0;
  for (const Unit& unit : units) {
    if (weight + unit.weight > limit) {
      ++runs;
      weight = 0;
    }
    weight += unit.weight;
  }
  return runs;
}

std::int64_t least_limit(const std::vector<Unit>& units, int num_ranks) {
  std::int64_t least = 0, most = 0;  // a unit fits by itself; all fit together
  for (const Unit& unit : units) {
    least = std::max(least, unit.weight);
    most += unit.weight;
  }
  while (least < most) {
    const std::int64_t middle = least + (most - least) / 2;
    if (num_runs(units, middle) <= static_cast<std::size_t>(num_ranks)) {
      most = middle;
    } else {
      least = middle + 1;
    }
  }
  return least;
}

std::vector<StorageRange> runs_of(const std::vector<Unit>& units, std::int64_t limit, int num_ranks,
                                  std::int64_t total_count) {
  std::vector<StorageRange> runs = {{0, total_count}};
  std::int64_t weight = 0;
  for (const Unit& unit : units) {
    if (weight + unit.weight > limit) {
      runs.back().end = unit.range.begin;
      runs.push_back({unit.range.begin, total_count});
      weight = 0;
    }
    weight += unit.weight;
  }
  runs.resize(static_cast<std::size_t>(num_ranks), {total_count, total_count});
  return runs;
}

}  // namespace

std::vector<Piece> Shards::pieces_of(const Parameter& parameter) const {
  if (!divided()) return {{.count = parameter.count}};
  const std::int64_t first = parameter.offset, stop = first + parameter.count;
  std::vector<Piece> pieces;
  for (std::size_t owner = 0; owner < ranges.size(); ++owner) {
    const std::int64_t begin = std::max(first, ranges[owner].begin),
                       end = std::min(stop, ranges[owner].end);
    if (begin < end)
      pieces.push_back(
          {.owner = static_cast<int>(owner), .begin = begin - first, .count = end - begin});
  }
  return pieces;
}

std::vector<Piece> Shards::own_pieces_of(const Parameter& parameter) const {
  std::vector<Piece> own;
  for (const Piece& piece : pieces_of(parameter))
    if (has(piece.owner)) own.push_back(piece);
  return own;
}

// Blocks of rows, of which each tensor-parallel rank has as many (some may be empty); a vector is
// one part.
std::vector<StorageRange> parts_of(const Parameter& parameter) {
  if (!is_matrix(parameter)) return {{.begin = 0, .end = parameter.count}};
  const std::int64_t rows = parameter.local_shape[0], columns = parameter.local_shape[1];
  std::vector<StorageRange> parts;
  for (int block = 0; block < kBlocks; ++block) {
    const Split part = split_evenly(rows, block, kBlocks);
    parts.push_back({.begin = part.begin * columns, .end = (part.begin + part.size) * columns});
  }
  return parts;
}

Shards make_shards(const recipe::Recipe& recipe, const recipe::Phase& phase,
                   const ParameterSet& parameters, int rank, int num_ranks) {
  if (recipe.parallel.shard == recipe::Shard::kNone || num_ranks == 1) return {};
  const auto rule = make_update_rule(phase.optimizer);
  const std::vector<Treatment> treated = treatments(parameters, phase);
  std::vector<Unit> whole;
  std::int64_t total = 0;
  for (std::size_t number = 0; number < treated.size(); ++number) {
    const Parameter& parameter = parameters.at(number);
    whole.push_back(
        {.range = {.begin = parameter.offset, .end = parameter.offset + parameter.count},
         .weight = treated[number].is_trained() && parameter.is_own
                       ? weight_of(parameter, *rule, phase)
                       : 0});
    total += whole.back().weight;
  }
  const double even = static_cast<double>(total) / num_ranks;
  std::vector<Unit> units = whole;
  if (static_cast<double>(least_limit(whole, num_ranks)) > kUneven * even) {
    units.clear();
    for (std::size_t number = 0; number < whole.size(); ++number) {
      const Parameter& parameter = parameters.at(number);
      const bool large = static_cast<double>(whole[number].weight) > even / 4;
      if (large && may_be_cut(parameter, *rule)) {
        add_parts(units, parameter, whole[number].weight);
      } else {
        units.push_back(whole[number]);
      }
    }
  }
  return {
      .ranges = runs_of(units, least_limit(units, num_ranks), num_ranks, parameters.total_count()),
      .rank = rank,
      .divides_gradients = recipe.parallel.shard == recipe::Shard::kGradients};
}

}  // namespace polyphase
