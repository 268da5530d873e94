// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "comm/communicator.hpp"
#include "kernels/exec.hpp"

namespace polyphase {

// Tensors on their way from stage to stage of a pipeline, whose ranks are the stages in order. What
// one stage sends another under the same subject arrives in the order in which it was sent. MPI
// carries it, on devices by way of a copy on the host.
class StageLinks {
 public:
  explicit StageLinks(const Communicator& pipeline);
  ~StageLinks();
  StageLinks(const StageLinks&) = delete;
  StageLinks& operator=(const StageLinks&) = delete;

  int stage() const { return pipeline_.rank(); }
  int num_stages() const { return pipeline_.size(); }

  enum class Subject {
    kRows,        // of a micro-batch, and their gradients
    kSource,      // what a decoder attends to, and its gradients
    kParameters,  // that several stages have, and their gradients
  };
  // Copies and returns at once: the tensor may change before it has arrived.
  void send(const Exec& exec, int stage, Subject subject, Tensor1<const float> tensor);
  // Waits until it has arrived.
  void receive(const Exec& exec, int stage, Subject subject, Tensor1<float> tensor);
  // Now and then, while computing: what was sent gets on its way.
  void poll();
  // Waits until all that was sent has been received.
  void finish();

 private:
  struct State;
  const Communicator& pipeline_;
  std::unique_ptr<State> state_;
};

}  // namespace polyphase
