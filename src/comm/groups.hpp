// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "comm/session.hpp"

namespace polyphase {

// The ranks of a job as groups of neighbours that work side by side. Each has a communicator and a
// grid of its own: what runs on a group knows of no other. Beside that, a group can tell the others
// to stop, without waiting for them.
class RankGroups {
 public:
  // Groups of `size` ranks, which divides those of the world; tensor_size × pipeline_size divides
  // it. Collective over the world, which must outlive the groups.
  RankGroups(const Communicator& world, int size, int tensor_size, int pipeline_size = 1);
  ~RankGroups();
  RankGroups(const RankGroups&) = delete;
  RankGroups& operator=(const RankGroups&) = delete;

  int count() const;
  int own() const;                    // number of this rank's group
  const Communicator& ranks() const;  // of this rank's group
  const RankGrid& grid() const;

  // Sends the word (not 0) to the other groups. From any rank; only the first one is sent.
  void tell(std::int64_t word);
  // What another group has told, on rank 0 of this one; 0: nothing.
  std::int64_t heard();

  // Waits until all ranks of the world are here, and lets processors go to those that are at work;
  // calls `meanwhile` now and then. All groups have told and heard nothing afterwards. Collective
  // over the world.
  void meet(const std::function<void()>& meanwhile);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace polyphase
