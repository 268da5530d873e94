// SPDX-License-Identifier: Apache-2.0
#include "train/pipeline_schedule.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

namespace polyphase {
namespace {

using Way = PipelineTask::Way;
using Tasks = std::vector<PipelineTask>;

// The tasks of all stages, every one of which takes as long on its way back as two forward, and a
// stage as long as all of its chunks.
class Simulated {
 public:
  // most_rows: messages that a stage may have under way to another; most_tables: likewise, of the
  // gradient that the last chunk sends the first.
  Simulated(int stages, int chunks, std::int64_t micro_batches, std::int64_t most_rows,
            std::int64_t most_tables)
      : count_(stages), chunks_(chunks), most_rows_(most_rows), most_tables_(most_tables) {
    for (int s = 0; s < stages; ++s) {
      const PipelineStage stage = {.number = s, .count = stages, .num_own_chunks = chunks};
      tasks_.push_back(pipeline_schedule(stage, micro_batches));
    }
    next_.resize(tasks_.size());
    now_.resize(tasks_.size());
    unsent_.resize(tasks_.size());
    while (any_goes_on()) {
    }
  }

  bool done() const {
    for (std::size_t s = 0; s < tasks_.size(); ++s)
      if (next_[s] < tasks_[s].size() || !unsent_[s].empty()) return false;
    return true;
  }
  // In units of a micro-batch's forward pass through a stage.
  double time() const { return *std::max_element(now_.begin(), now_.end()) / chunks_; }

 private:
  struct Channel {
    std::vector<double> sent, received;
  };
  using Key = std::tuple<int, int, int>;  // from a stage to a stage: rows, their gradients, tables
  static constexpr int kTables = 2;

  bool any_goes_on() {
    bool any = false;
    for (std::size_t s = 0; s < tasks_.size(); ++s)
      while (sends(s) && runs(static_cast<int>(s))) any = true;
    return any;
  }

  // Whether all that the stage's last task has made is under way.
  bool sends(std::size_t s) {
    while (!unsent_[s].empty()) {
      const Key key = unsent_[s].back();
      Channel& channel = channels_[key];
      const std::int64_t most = std::get<2>(key) == kTables ? most_tables_ : most_rows_;
      const std::int64_t taken = std::ssize(channel.sent) - most;  // must have been received
      if (taken >= std::ssize(channel.received)) return false;
      if (taken >= 0)
        now_[s] = std::max(now_[s], channel.received[static_cast<std::size_t>(taken)]);
      channel.sent.push_back(now_[s]);
      unsent_[s].pop_back();
    }
    return true;
  }

  bool receives(std::size_t s, const std::vector<Key>& keys) {
    for (const Key& key : keys)
      if (channels_[key].sent.size() == channels_[key].received.size()) return false;
    for (const Key& key : keys) {
      Channel& channel = channels_[key];
      now_[s] = std::max(now_[s], channel.sent[channel.received.size()]);
      channel.received.push_back(now_[s]);
    }
    return true;
  }

  bool runs(int stage) {
    const auto s = static_cast<std::size_t>(stage);
    if (next_[s] == tasks_[s].size()) return false;
    const PipelineTask& task = tasks_[s][next_[s]];
    const int chunk = task.chunk * count_ + stage, last = count_ * chunks_ - 1;
    const int before = (stage + count_ - 1) % count_, behind = (stage + 1) % count_;
    std::vector<Key> in, out;
    if (task.way == Way::kForward) {
      if (chunk > 0) in.emplace_back(before, stage, 0);
      if (chunk < last) out.emplace_back(stage, behind, 0);
    } else {
      if (chunk < last) in.emplace_back(behind, stage, 1);
      if (chunk > 0) out.emplace_back(stage, before, 1);
      if (chunk == 0 && last > 0) in.emplace_back(count_ - 1, 0, kTables);
      if (chunk == last && last > 0) out.emplace_back(count_ - 1, 0, kTables);
    }
    if (!receives(s, in)) return false;
    now_[s] += task.way == Way::kForward ? 1 : 2;
    unsent_[s] = out;
    ++next_[s];
    return true;
  }

  int count_, chunks_;
  std::int64_t most_rows_, most_tables_;
  std::vector<Tasks> tasks_;
  std::vector<std::size_t> next_;
  std::vector<double> now_;
  std::vector<std::vector<Key>> unsent_;
  std::map<Key, Channel> channels_;
};

// Calls check(stages, chunks, micro-batches) with all that there are up to 8 stages of 4 chunks.
template <class Check>
void for_pipelines(const Check& check) {
  for (int stages = 1; stages <= 8; ++stages) {
    for (int chunks = 1; chunks <= (stages == 1 ? 1 : 4); ++chunks) {
      for (const int m : {1, 2, 3, 4, 7, 8, 16, 24})
        if (chunks == 1 || m % stages == 0) check(stages, chunks, m);
    }
  }
}

TEST(PipelineSchedule, EveryMicroBatchGoesThroughEveryChunkOnceEachWayInItsOrder) {
  for_pipelines([](int stages, int chunks, std::int64_t micro_batches) {
    for (int s = 0; s < stages; ++s) {
      const PipelineStage stage = {.number = s, .count = stages, .num_own_chunks = chunks};
      const Tasks tasks = pipeline_schedule(stage, micro_batches);
      ASSERT_EQ(std::ssize(tasks), 2 * chunks * micro_batches);
      std::map<std::pair<Way, int>, std::int64_t> next;
      for (std::size_t i = 0; i < tasks.size(); ++i) {
        const auto& [way, chunk, micro_batch] = tasks[i];
        ASSERT_EQ(micro_batch, (next[{way, chunk}]++));
        if (way == Way::kBackward) {
          ASSERT_LT(micro_batch, (next[{Way::kForward, chunk}]));
          const bool has_heads = stage.chunk(chunk) + 1 == stage.num_chunks();
          const PipelineTask forward = {Way::kForward, chunk, micro_batch};
          if (has_heads) {
            ASSERT_EQ(tasks[i - 1], forward) << stages << " " << chunks;
          }
        }
      }
    }
  });
}

// Forward and backward passes of all micro-batches, and the (P - 1) / V of both that a stage waits
// for the first and behind the last, whether one message may be under way to another stage or any
// number.
TEST(PipelineSchedule, NoStageWaitsForGoodNorLongerThanItMust) {
  for_pipelines([](int stages, int chunks, std::int64_t micro_batches) {
    const double shortest = 3.0 * static_cast<double>(micro_batches) + 3.0 * (stages - 1) / chunks;
    for (const std::int64_t most_rows : {1, 1000}) {
      const Simulated run(stages, chunks, micro_batches, most_rows, stages);
      ASSERT_TRUE(run.done()) << stages << " " << chunks << " " << micro_batches;
      EXPECT_NEAR(run.time(), shortest, 1e-9) << stages << " " << chunks << " " << micro_batches;
    }
  });
}

TEST(PipelineSchedule, StagesOfOneChunkKeepAsManyMicroBatchesAsThereAreStagesFromThemOn) {
  for (int s = 0; s < 4; ++s) {
    const PipelineStage stage = {.number = s, .count = 4};
    EXPECT_EQ(most_under_way(pipeline_schedule(stage, 16)), 4 - s);
    EXPECT_EQ(most_under_way(pipeline_schedule(stage, 2)), std::min(4 - s, 2));
  }
}

// Together PV + P - 1 of the first stage's chunks: (P - 1) / V micro-batches more than with one.
TEST(PipelineSchedule, StagesOfSeveralChunksKeepMore) {
  for_pipelines([](int stages, int chunks, std::int64_t) {
    if (chunks == 1) return;
    for (int s = 0; s < stages; ++s) {
      const PipelineStage stage = {.number = s, .count = stages, .num_own_chunks = chunks};
      const Tasks tasks = pipeline_schedule(stage, 4 * stages);
      EXPECT_EQ(most_under_way(tasks), (chunks - 1) * stages + 2 * (stages - 1 - s) + 1);
      for (int chunk = 0; chunk < chunks; ++chunk)
        EXPECT_LE(most_under_way(tasks, chunk), 2 * stages);
    }
  });
}

TEST(PipelineSchedule, TakesWhatStagesDivideAlone) {
  EXPECT_THROW(pipeline_schedule({.number = 0, .count = 4, .num_own_chunks = 2}, 6),
               std::logic_error);
}

}  // namespace
}  // namespace polyphase
