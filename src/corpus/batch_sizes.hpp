// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

namespace polyphase {

// Sequences of each step of a phase (counted from 0): `from` at first, doubled after every
// `every_steps` steps until it is `sequences`. Closed forms, so that where a step's samples begin
// needs no replay.
struct BatchSizes {
  std::int64_t sequences = 32;
  std::int64_t from = 0;  // 0: always `sequences`; else sequences / from is a power of two
  std::int64_t every_steps = 1;

  std::int64_t at(std::int64_t step) const { return first() << doublings(step); }

  // Sequences of all steps before `step`.
  std::int64_t before(std::int64_t step) const {
    const std::int64_t k = doublings(step);
    return first() * every_steps * ((std::int64_t{1} << k) - 1) +
           (step - k * every_steps) * (first() << k);
  }

  // The step that sequence `number` of the phase (from 0) belongs to.
  std::int64_t step_of(std::int64_t number) const {
    std::int64_t k = 0;
    while (k < most_doublings() && before((k + 1) * every_steps) <= number) ++k;
    return k * every_steps + (number - before(k * every_steps)) / (first() << k);
  }

  // The fewest steps that hold so many sequences.
  std::int64_t steps_for(std::int64_t count) const {
    return count == 0 ? 0 : step_of(count - 1) + 1;
  }

 private:
  std::int64_t first() const { return from == 0 ? sequences : from; }
  std::int64_t most_doublings() const {
    std::int64_t k = 0;
    while (first() << k < sequences) ++k;
    return k;
  }
  std::int64_t doublings(std::int64_t step) const {
    return std::min(step / every_steps, most_doublings());
  }
};

}  // namespace polyphase
