// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "model/parameters.hpp"

namespace polyphase {

// Layers [begin, end) of a stack of `whole`: those that passes run here.
struct LayerRange {
  std::int64_t begin = 0, end = 0, whole = 0;

  bool any() const { return begin < end; }
  bool has(std::int64_t layer) const { return begin <= layer && layer < end; }
  bool has_first() const { return any() && begin == 0; }
  bool has_last() const { return any() && end == whole; }
};

// The first layer of each chunk of a pipeline and, last, how many layers there are; empty: they are
// dealt as evenly as they divide.
using LayerCuts = std::vector<std::int64_t>;

// How the layers of a model, counted through all of its stacks, are dealt to the chunks of a
// pipeline: neighbours.
class ChunkLayers {
 public:
  // Of the chunk that layers are being made of.
  ChunkLayers(const ParameterSet& parameters, std::int64_t num_layers, LayerCuts cuts)
      : chunk_(parameters.chunk()), num_layers_(num_layers), cuts_(std::move(cuts)) {}

  int chunk_of(std::int64_t layer) const {
    if (cuts_.empty()) return static_cast<int>((chunk_.count * (layer + 1) - 1) / num_layers_);
    return static_cast<int>(std::ranges::upper_bound(cuts_, layer) - cuts_.begin()) - 1;
  }
  // Chunks of the layers of a stack that begins at layer `first`.
  std::vector<int> chunks_of(std::int64_t first, std::int64_t num_layers) const {
    std::vector<int> chunks;
    for (int c = chunk_of(first); c <= chunk_of(first + num_layers - 1); ++c) chunks.push_back(c);
    return chunks;
  }
  // What the own chunk has of it.
  LayerRange own(std::int64_t first, std::int64_t num_layers) const {
    const Split mine = layers_of(chunk_.number);
    const auto place = [&](std::int64_t layer) {
      return std::clamp<std::int64_t>(layer - first, 0, num_layers);
    };
    return {.begin = place(mine.begin), .end = place(mine.begin + mine.size), .whole = num_layers};
  }

 private:
  Split layers_of(int chunk) const {
    if (cuts_.empty()) return split_evenly(num_layers_, chunk, chunk_.count);
    const auto c = static_cast<std::size_t>(chunk);
    return {.begin = cuts_[c], .size = cuts_[c + 1] - cuts_[c]};
  }

  PipelineChunk chunk_;
  std::int64_t num_layers_;
  LayerCuts cuts_;
};

}  // namespace polyphase
