// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "comm/communicator.hpp"
#include "model/parameters.hpp"

namespace polyphase {

// Where gradients lie. The backward pass gives back a layer's activations when it has made its
// gradients, so both can share memory: gradients lie in the arena's far end, those that are written
// first, when the arena is fullest, last. Whatever the arena hands out after a gradient's first
// writing lies below it.
//
// Matrices that no counted pass writes have no gradients: layers ask first whether they are
// trained. Those of norms and biases are made in passing; where none was counted, a pass that goes
// over other layers may still write it, so they have a place behind all that passes use.
struct GradientLayout {
  std::vector<std::int64_t> offsets;  // elements, by parameter number; -1: it has none
  std::int64_t count = 0;             // elements of a set of gradients, with alignment gaps
  // Where gradients may begin in the arena that passes work in.
  std::size_t first_byte = 0;

  std::size_t num_bytes() const { return static_cast<std::size_t>(count) * sizeof(float); }
};

// Listens to passes that are counted, of all shapes that are to come.
class GradientWrites {
 public:
  void begin_pass(Arena& counting, std::size_t num_parameters) {
    arena_ = &counting;
    events_.clear();
    bytes_behind_.resize(num_parameters, -1);
  }
  // The gradients of `span` parameters from `number` on are written, for the first time in a pass.
  void hear(std::size_t number, std::size_t span);
  void end_pass();

  // What differs between processors (workspaces of products) must not make another order: takes
  // the most of all ranks. Collective.
  void agree(const Communicator& ranks);

  GradientLayout layout(const std::vector<Parameter>& parameters) const;

 private:
  struct Event {
    std::size_t number = 0, span = 0;
    std::size_t bytes_before = 0;  // of the arena, the most since the event before
  };
  Arena* arena_ = nullptr;
  std::vector<Event> events_;
  // The most of the arena that is in use from a gradient's first writing to the end of its pass, by
  // parameter number; -1: not written.
  std::vector<std::int64_t> bytes_behind_;
};

}  // namespace polyphase
