// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "model/parameters.hpp"

namespace polyphase {

// A pass of a step: of one micro-batch through one chunk.
struct PipelineTask {
  enum class Way { kForward, kBackward };
  Way way = Way::kForward;
  int chunk = 0;  // of the stage's own, counted from 0
  std::int64_t micro_batch = 0;

  bool operator==(const PipelineTask&) const = default;
};

// What a stage does in a step, in this order: some forward passes ahead, then one forward and one
// backward pass in turn (1F1B: Narayanan et al., 2019, "PipeDream"). With several chunks a stage,
// as many micro-batches as there are stages, which divide them, go through a chunk before they go
// through the next (interleaved: Narayanan et al., 2021, section 2.2.2). Without a pipeline, each
// micro-batch comes back before the next one starts.
//
// In each chunk micro-batches go forward, and come back, in their order, and in the last chunk of
// the pipeline each comes back at once.
std::vector<PipelineTask> pipeline_schedule(const PipelineStage& stage,
                                            std::int64_t num_micro_batches);

// Of how many passes the stage keeps the activations at most: of one of its chunks, or in all.
inline constexpr int kAllChunks = -1;
std::int64_t most_under_way(const std::vector<PipelineTask>& schedule, int chunk = kAllChunks);

}  // namespace polyphase
