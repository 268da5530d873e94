// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "comm/communicator.hpp"
#include "kernels/exec.hpp"

namespace polyphase {

// Tensors on their way from stage to stage of a pipeline, whose ranks are the stages in order. What
// one stage sends another under the same name arrives in the order in which it was sent. MPI
// carries it, on devices by way of a copy on the host.
//
// Memory for what is under way is bounded: of rows, kMostRows messages of a name to a stage; of a
// shared parameter's gradient, which goes from the last stage to the first while the pipeline works
// on, as many as there are stages. A stage that is further ahead waits. No order of passes that
// pipeline_schedule() makes comes to a halt by that (tests/train/pipeline_schedule_test.cpp, with
// rows and one shared table).
class StageLinks {
 public:
  explicit StageLinks(const Communicator& pipeline);
  ~StageLinks();
  StageLinks(const StageLinks&) = delete;
  StageLinks& operator=(const StageLinks&) = delete;

  int stage() const { return pipeline_.rank(); }
  int num_stages() const { return pipeline_.size(); }

  enum class Subject {
    kRows,  // of a micro-batch
    kRowGradients,
    kSource,  // what a decoder attends to
    kSourceGradients,
    kParameter,  // that several stages have: its gradient, or its values
  };
  struct Name {
    Subject subject = Subject::kRows;
    std::size_t parameter = 0;  // number of the shared parameter
    auto operator<=>(const Name&) const = default;
  };
  static constexpr std::int64_t kMostRows = 2;

  // What is to be sent, so much at a time at most, so many times in a step at most: makes the
  // memory of it known. What has not been planned takes memory as it comes.
  void plan(int stage, Name name, std::int64_t num_floats);
  void plan_messages(std::int64_t messages_a_step) { messages_a_step_ = messages_a_step; }
  std::size_t planned_bytes() const;
  std::size_t held_bytes() const;  // by now

  // Copies and returns, once there is memory for it: the tensor may change before it has arrived.
  void send(const Exec& exec, int stage, Name name, Tensor1<const float> tensor);
  // Without a copy: returns when the tensor may change.
  void send_in_place(const Exec& exec, int stage, Name name, Tensor1<const float> tensor);
  // Waits until it has arrived.
  void receive(const Exec& exec, int stage, Name name, Tensor1<float> tensor);
  // Now and then, while computing: what was sent gets on its way.
  void poll();

 private:
  struct State;
  std::int64_t most_under_way(Name name) const;

  const Communicator& pipeline_;
  std::int64_t messages_a_step_ = 1;
  std::unique_ptr<State> state_;
};

}  // namespace polyphase
