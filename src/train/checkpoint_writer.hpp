// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "comm/session.hpp"
#include "optimizer/optimizer.hpp"
#include "train/weight_average.hpp"

namespace polyphase {

// Writes checkpoints while training goes on: parameters ("parameters/NAME") and optimizer state
// ("optimizer/moment1/NAME" …), and averages ("average/NAME") are copied, then a thread digests and
// writes the copy. Every rank is a writer: a data-parallel copy of the model writes each tensor
// once, dealt to the data ranks in turn, but what one of them alone has. When all ranks have
// written, a thread of rank 0 commits the checkpoint and keeps the newest `keep` and those of
// kept_steps. All calls are collective over all ranks; an error of any rank is thrown on all of
// them by the call that hears of it.
//
// Orderings that must hold: a copy is not touched before its thread has ended; rank 0 commits after
// every rank has reported; the next checkpoint begins after the last is committed. Only the main
// thread talks to other ranks.
class CheckpointWriter {
 public:
  CheckpointWriter(std::filesystem::path folder, int keep, const Communicator& world,
                   const RankGrid& grid);
  ~CheckpointWriter();  // waits for this rank's thread; what is not committed by then is left
                        // behind

  // Waits for the checkpoint before, copies, and returns while the copy is being written.
  void begin(std::int64_t step, const nlohmann::json& state, const ParameterSet& parameters,
             const Optimizer& optimizer, const WeightAverage* average,
             const std::set<std::int64_t>& kept_steps);
  // At every step: takes the checkpoint under way one stage on when all ranks are ready for it.
  void poll();
  // Waits until the checkpoint under way is committed.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace polyphase
