// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
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
//
// Where data-parallel ranks divide gradients among them, what belongs to others is given back while
// the pass goes on: when a layer's gradients are final they are sent, and when those of the layer
// below are, too, the sums are waited for, so that an exchange has a layer's time to hide behind.
// What is written after that takes their place.
struct GradientLayout {
  std::vector<std::int64_t> offsets;  // elements, by parameter number; -1: it has none
  std::int64_t count = 0;             // elements of a set of gradients, with alignment gaps
  // Where gradients may begin in the arena that passes work in.
  std::size_t first_byte = 0;

  // What is given back (see ParameterSet::stops()); empty where all stays.
  std::vector<std::size_t> stops;
  // By parameter number: the stop that must have been given back before its gradient is written.
  std::vector<std::size_t> written_behind;

  // Of a set of this rank's share in memory of its own: elements, and where parameters begin in it,
  // or would begin if it had the rows in front of the first that it has.
  std::int64_t sum_count = 0;
  std::vector<std::int64_t> sum_offsets;

  std::size_t num_bytes() const { return static_cast<std::size_t>(count) * sizeof(float); }
};

// What this rank keeps of gradients that are divided, and where.
struct GradientShare {
  StorageRange range;     // of the parameters' storage
  bool in_place = false;  // they stay where passes write them; else they are copied
};

// Listens to passes that are counted, of all shapes that are to come.
class GradientWrites {
 public:
  // Of a pass that writes no parameter from `end` on: a chunk's.
  void begin_pass(Arena& counting, std::size_t num_parameters, std::size_t end) {
    arena_ = &counting;
    events_.clear();
    bytes_behind_.resize(num_parameters, -1);
    stops_behind_.resize(num_parameters, 0);
    last_stop_ = end;
  }
  // The gradients of `span` parameters from `number` on are written, for the first time in a pass.
  void hear(std::size_t number, std::size_t span);
  // Gradients from this parameter on are final.
  void final_from(std::size_t number);
  void end_pass();

  // What differs between processors (workspaces of products) must not make another order: takes
  // the most of all ranks. Collective.
  void agree(const Communicator& ranks);

  // `share`: of gradients that are divided.
  GradientLayout layout(const std::vector<Parameter>& parameters,
                        const std::optional<GradientShare>& share = std::nullopt) const;

 private:
  struct Event {
    std::size_t number = 0, span = 0;
    std::size_t bytes_before = 0;  // of the arena, the most since the event before
  };
  // Parameters that joined each other, whose gradients are seen as one tensor too. Times are
  // numbers of stops that have been given back.
  struct Unit {
    std::size_t first = 0, end = 0;  // parameter numbers
    std::int64_t bytes_behind = -1;
    std::size_t written = std::numeric_limits<std::size_t>::max(), sent = 0;
  };
  // Those that are written last come first.
  std::vector<Unit> units_of(const std::vector<Parameter>& parameters,
                             const std::vector<std::size_t>& stops) const;

  Arena* arena_ = nullptr;
  std::vector<Event> events_;
  // The most of the arena that is in use from a gradient's first writing to the end of its pass, by
  // parameter number; -1: not written.
  std::vector<std::int64_t> bytes_behind_;
  // What final_from() had been told last when a gradient was first written, the earliest of all
  // passes, by parameter number.
  std::vector<std::size_t> stops_behind_;
  std::size_t last_stop_ = 0;
  std::set<std::size_t> stops_ = {0};
};

}  // namespace polyphase
