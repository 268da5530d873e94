// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "model/parameters.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

inline constexpr int kEveryDataRank = -1;

// A part of a parameter that one data-parallel rank (or each of them) keeps the state of, and
// updates: all of what this tensor-parallel rank has of it, or some rows.
struct Piece {
  int owner = kEveryDataRank;
  std::int64_t begin = 0, count = 0;  // elements, from the parameter's first
};

// How data-parallel ranks divide a phase's optimizer, and perhaps its gradients, among them (ZeRO's
// first and second stage: Rajbhandari et al., 2020): each has a run of neighbours in the flat
// storage. Undivided, every rank has all.
//
// Runs are cut between parameters, so that rules which look at a whole tensor see it, and such that
// the rank with the most has as little as can be. Only where that is still more than a tenth above
// an even share are large matrices cut, between rows, if their rule looks at elements one by one.
struct Shards {
  std::vector<StorageRange> ranges;  // by data rank, of the whole storage; none: undivided
  int rank = 0;                      // of these ranks, this one
  // Whether a rank keeps its own gradients alone. Else it has all of them until the step's end, and
  // sums of its own alone.
  bool divides_gradients = false;

  bool divided() const { return !ranges.empty(); }
  bool has(int owner) const { return owner == kEveryDataRank || owner == rank; }
  std::vector<Piece> pieces_of(const Parameter& parameter) const;
  std::vector<Piece> own_pieces_of(const Parameter& parameter) const;
};

// The parts of a parameter that no rank's run ends within, on any number of ranks. What is to be
// the same on all of them is summed within a part first.
std::vector<StorageRange> parts_of(const Parameter& parameter);

// As recipe.parallel asks for, on so many data-parallel ranks. The same whole parameters on all
// tensor-parallel ranks.
Shards make_shards(const recipe::Recipe& recipe, const recipe::Phase& phase,
                   const ParameterSet& parameters, int rank, int num_ranks);

}  // namespace polyphase
