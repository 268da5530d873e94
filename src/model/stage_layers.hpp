// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "model/parameters.hpp"

namespace polyphase {

// Layers [begin, end) of a stack of `whole`: those that this rank runs.
struct LayerRange {
  std::int64_t begin = 0, end = 0, whole = 0;

  bool any() const { return begin < end; }
  bool has_first() const { return any() && begin == 0; }
  bool has_last() const { return any() && end == whole; }
};

// How the layers of a model, counted through all of its stacks, are dealt to the stages of a
// pipeline: neighbours, and as evenly as they divide.
class StageLayers {
 public:
  StageLayers(const PipelineStage& stage, std::int64_t num_layers)
      : stage_(stage), num_layers_(num_layers) {}

  int stage_of(std::int64_t layer) const {
    int stage = 0;
    while (layer >= end_of(stage)) ++stage;
    return stage;
  }
  // Stages of the layers of a stack that begins at layer `first`.
  std::vector<int> stages_of(std::int64_t first, std::int64_t num_layers) const {
    std::vector<int> stages;
    for (int s = stage_of(first); s <= stage_of(first + num_layers - 1); ++s) stages.push_back(s);
    return stages;
  }
  // What this rank runs of it.
  LayerRange own(std::int64_t first, std::int64_t num_layers) const {
    const Split mine = split_evenly(num_layers_, stage_.number, stage_.count);
    const auto place = [&](std::int64_t layer) {
      return std::clamp<std::int64_t>(layer - first, 0, num_layers);
    };
    return {.begin = place(mine.begin), .end = place(mine.begin + mine.size), .whole = num_layers};
  }

 private:
  std::int64_t end_of(int stage) const {
    return split_evenly(num_layers_, stage, stage_.count).begin +
           split_evenly(num_layers_, stage, stage_.count).size;
  }

  PipelineStage stage_;
  std::int64_t num_layers_;
};

}  // namespace polyphase
