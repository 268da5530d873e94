// SPDX-License-Identifier: Apache-2.0
#include "model/gradient_layout.hpp"

#include <algorithm>

namespace polyphase {
namespace {

// Parameters that joined each other, whose gradients are seen as one tensor too.
struct Unit {
  std::size_t first = 0, end = 0;  // parameter numbers
  std::int64_t bytes_behind = -1;
};

// Whether its gradient may be written although it is not trained: norms, biases, and tables of
// relative positions, which decay as little.
bool is_made_in_passing(const Parameter& parameter) {
  return parameter.local_shape.size() == 1 || !parameter.spec.decays;
}

std::vector<Unit> units_of(const std::vector<Parameter>& parameters,
                           const std::vector<std::int64_t>& bytes_behind) {
  const std::int64_t most = *std::max_element(bytes_behind.begin(), bytes_behind.end());
  std::vector<Unit> units;
  for (std::size_t number = 0; number < parameters.size(); ++number) {
    if (!parameters[number].spec.joins_previous) units.push_back({.first = number});
    units.back().end = number + 1;
    std::int64_t bytes = bytes_behind[number];
    if (bytes < 0 && is_made_in_passing(parameters[number])) bytes = most;
    units.back().bytes_behind = std::max(units.back().bytes_behind, bytes);
  }
  return units;
}

std::int64_t aligned(std::int64_t count) {
  constexpr auto kFloats = static_cast<std::int64_t>(Arena::kAlignment / sizeof(float));
  return (count + kFloats - 1) / kFloats * kFloats;
}

}  // namespace

void GradientWrites::hear(std::size_t number, std::size_t span) {
  events_.push_back({.number = number, .span = span, .bytes_before = arena_->take_high_water()});
}

void GradientWrites::end_pass() {
  auto most = static_cast<std::int64_t>(arena_->take_high_water());
  for (auto event = events_.rbegin(); event != events_.rend(); ++event) {
    for (std::size_t number = event->number; number < event->number + event->span; ++number)
      bytes_behind_[number] = std::max(bytes_behind_[number], most);
    most = std::max(most, static_cast<std::int64_t>(event->bytes_before));
  }
}

void GradientWrites::agree(const Communicator& ranks) {
  ranks.max(bytes_behind_.data(), static_cast<std::int64_t>(bytes_behind_.size()));
}

GradientLayout GradientWrites::layout(const std::vector<Parameter>& parameters) const {
  if (bytes_behind_.empty()) return {.offsets = std::vector<std::int64_t>(parameters.size(), -1)};
  std::vector<Unit> units = units_of(parameters, bytes_behind_);
  std::stable_sort(units.begin(), units.end(),
                   [](const Unit& a, const Unit& b) { return a.bytes_behind < b.bytes_behind; });
  GradientLayout layout = {.offsets = std::vector<std::int64_t>(parameters.size(), -1)};
  std::int64_t first_byte = 0;
  for (const Unit& unit : units) {
    if (unit.bytes_behind < 0) continue;
    layout.count = aligned(layout.count);
    first_byte = std::max(
        first_byte, unit.bytes_behind - layout.count * static_cast<std::int64_t>(sizeof(float)));
    for (std::size_t number = unit.first; number < unit.end; ++number) {
      layout.offsets[number] = layout.count;
      layout.count += parameters[number].count;
    }
  }
  layout.count = aligned(layout.count);
  layout.first_byte = static_cast<std::size_t>(first_byte);  // of arena bytes, which are aligned
  return layout;
}

}  // namespace polyphase
