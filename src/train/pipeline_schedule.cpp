// SPDX-License-Identifier: Apache-2.0
#include "train/pipeline_schedule.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace polyphase {
namespace {

using Way = PipelineTask::Way;

// All passes of one way, in the order that every stage goes through its own.
std::vector<PipelineTask> passes(const PipelineStage& stage, std::int64_t num_micro_batches,
                                 Way way) {
  const std::int64_t together = stage.num_own_chunks == 1 ? 1 : stage.count;
  std::vector<PipelineTask> tasks;
  for (std::int64_t first = 0; first < num_micro_batches; first += together) {
    for (int turn = 0; turn < stage.num_own_chunks; ++turn) {
      const int chunk = way == Way::kForward ? turn : stage.num_own_chunks - 1 - turn;
      for (std::int64_t m = first; m < first + together; ++m)
        tasks.push_back({.way = way, .chunk = chunk, .micro_batch = m});
    }
  }
  return tasks;
}

}  // namespace

std::vector<PipelineTask> pipeline_schedule(const PipelineStage& stage,
                                            std::int64_t num_micro_batches) {
  const int chunks = stage.num_own_chunks, behind = stage.count - 1 - stage.number;
  POLYPHASE_PROMISE(chunks == 1 || num_micro_batches % stage.count == 0,
                    "{} micro-batches go through {} interleaved stages", num_micro_batches,
                    stage.count);
  const std::vector<PipelineTask> forward = passes(stage, num_micro_batches, Way::kForward),
                                  backward = passes(stage, num_micro_batches, Way::kBackward);
  // With several chunks a pass takes as long as its way to the next stage and back may: twice as
  // far ahead, a stage does not wait for it.
  const auto ahead = std::min<std::ptrdiff_t>(
      std::ssize(forward), (chunks - 1) * stage.count + behind * (chunks == 1 ? 1 : 2));
  std::vector<PipelineTask> schedule(forward.begin(), forward.begin() + ahead);
  for (auto next = forward.begin() + ahead; const PipelineTask& task : backward) {
    if (next != forward.end()) schedule.push_back(*next++);
    schedule.push_back(task);
  }
  return schedule;
}

std::int64_t most_under_way(const std::vector<PipelineTask>& schedule, int chunk) {
  std::int64_t now = 0, most = 0;
  for (const PipelineTask& task : schedule) {
    if (chunk != kAllChunks && task.chunk != chunk) continue;
    now += task.way == Way::kForward ? 1 : -1;
    most = std::max(most, now);
  }
  return most;
}

}  // namespace polyphase
