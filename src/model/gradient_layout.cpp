// SPDX-License-Identifier: Apache-2.0
#include "model/gradient_layout.hpp"

#include <algorithm>
#include <limits>

namespace polyphase {
namespace {

// Stops from the one that sends a gradient to the one behind which its place is free.
constexpr std::size_t kStopsUnderWay = 2;
constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();

// Whether its gradient may be written although it is not trained: norms, biases, and tables of
// relative positions, which decay as little.
bool is_made_in_passing(const Parameter& parameter) {
  return parameter.local_shape.size() == 1 || !parameter.spec.decays;
}

std::int64_t aligned(std::int64_t count) {
  constexpr auto kFloats = static_cast<std::int64_t>(Arena::kAlignment / sizeof(float));
  return (count + kFloats - 1) / kFloats * kFloats;
}

StorageRange common(const StorageRange& a, const StorageRange& b) {
  return {.begin = std::max(a.begin, b.begin), .end = std::min(a.end, b.end)};
}

// Gradients from the far end of the memory on; places are counted from there, and times in stops
// that have been given back.
class FarEnd {
 public:
  // Finds the nearest place for what has these values, that is free from one time to the other, and
  // for good where some of it is kept. Returns where it ends.
  std::int64_t take(const StorageRange& values, const StorageRange& kept, std::size_t from,
                    std::size_t until) {
    const std::int64_t count = aligned(values.end - values.begin);
    const bool keeps = kept.begin < kept.end;
    const std::int64_t end = free_place(count, from, keeps ? kNever : until) + count;
    taken_.push_back({.begin = end - count, .end = end, .from = from, .until = until});
    if (keeps) {
      taken_.push_back({.begin = end - (kept.end - values.begin),
                        .end = end - (kept.begin - values.begin),
                        .from = from});
    }
    return end;
  }

 private:
  struct Taken {
    std::int64_t begin = 0, end = 0;
    std::size_t from = 0, until = kNever;
  };

  std::int64_t free_place(std::int64_t count, std::size_t from, std::size_t until) const {
    std::vector<Taken> others;
    for (const Taken& other : taken_)
      if (other.from < until && from < other.until) others.push_back(other);
    std::sort(others.begin(), others.end(),
              [](const Taken& a, const Taken& b) { return a.begin < b.begin; });
    std::int64_t place = 0;
    for (const Taken& other : others) {
      if (place + count <= other.begin) break;
      place = std::max(place, aligned(other.end));
    }
    return place;
  }

  std::vector<Taken> taken_;
};

// Places for the share of one rank in sets of their own.
void place_share(GradientLayout& layout, const std::vector<Parameter>& parameters,
                 const StorageRange& share) {
  layout.sum_offsets.assign(parameters.size(), -1);
  for (std::size_t number = 0; number < parameters.size(); ++number) {
    const Parameter& parameter = parameters[number];
    const StorageRange own = common(share, {parameter.offset, parameter.offset + parameter.count});
    if (layout.offsets[number] < 0 || own.begin >= own.end) continue;
    layout.sum_count = aligned(layout.sum_count);
    layout.sum_offsets[number] = layout.sum_count - (own.begin - parameter.offset);
    layout.sum_count += own.end - own.begin;
  }
  layout.sum_count = aligned(layout.sum_count);
}

}  // namespace

void GradientWrites::hear(std::size_t number, std::size_t span) {
  events_.push_back({.number = number, .span = span, .bytes_before = arena_->take_high_water()});
  for (std::size_t i = number; i < number + span; ++i)
    stops_behind_[i] = std::max(stops_behind_[i], last_stop_);
}

void GradientWrites::final_from(std::size_t number) {
  last_stop_ = number;
  stops_.insert(number);
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

std::vector<GradientWrites::Unit> GradientWrites::units_of(
    const std::vector<Parameter>& parameters, const std::vector<std::size_t>& stops) const {
  // How many stops there are at this parameter and behind it.
  const auto stops_from = [&stops](std::size_t number) {
    return static_cast<std::size_t>(std::count_if(
        stops.begin(), stops.end(), [number](std::size_t stop) { return stop >= number; }));
  };
  const std::int64_t most = *std::max_element(bytes_behind_.begin(), bytes_behind_.end());
  std::vector<Unit> units;
  for (std::size_t number = 0; number < parameters.size(); ++number) {
    if (!parameters[number].spec.joins_previous) units.push_back({.first = number});
    Unit& unit = units.back();
    unit.end = number + 1;
    if (!parameters[number].is_own) continue;
    const bool in_passing = is_made_in_passing(parameters[number]);
    const std::int64_t bytes = bytes_behind_[number];
    unit.bytes_behind = std::max(unit.bytes_behind, bytes < 0 && in_passing ? most : bytes);
    // A pass over other layers makes a norm's or a bias's gradient earlier.
    unit.written = std::min(unit.written, in_passing ? 0 : stops_from(stops_behind_[number]));
    unit.sent = std::max(unit.sent, stops_from(number + 1));
  }
  std::stable_sort(units.begin(), units.end(),
                   [](const Unit& a, const Unit& b) { return a.bytes_behind < b.bytes_behind; });
  return units;
}

GradientLayout GradientWrites::layout(const std::vector<Parameter>& parameters,
                                      const std::optional<GradientShare>& share) const {
  GradientLayout layout = {.offsets = std::vector<std::int64_t>(parameters.size(), -1)};
  if (bytes_behind_.empty()) return layout;
  if (share) {
    layout.stops.assign(stops_.rbegin(), stops_.rend());
    layout.written_behind.assign(parameters.size(), kNever);
  }
  std::vector<Unit> units = units_of(parameters, layout.stops);
  std::erase_if(units, [](const Unit& unit) { return unit.bytes_behind < 0; });
  FarEnd far_end;
  std::vector<std::int64_t> ends;
  for (auto unit = units.rbegin(); unit != units.rend(); ++unit) {
    const Parameter& last = parameters[unit->end - 1];
    const StorageRange values = {parameters[unit->first].offset, last.offset + last.count};
    const std::size_t until = share ? unit->sent + kStopsUnderWay : kNever;
    const StorageRange kept =
        share && share->in_place ? common(values, share->range) : StorageRange{};
    ends.push_back(far_end.take(values, kept, unit->written, until));
    layout.count = std::max(layout.count, ends.back());
  }
  std::int64_t first_byte = 0;
  for (std::size_t i = 0; i < units.size(); ++i) {
    const Unit& unit = units[units.size() - 1 - i];
    const std::int64_t begin = layout.count - ends[i];
    first_byte =
        std::max(first_byte, unit.bytes_behind - begin * static_cast<std::int64_t>(sizeof(float)));
    for (std::size_t number = unit.first; number < unit.end; ++number) {
      layout.offsets[number] = begin + parameters[number].offset - parameters[unit.first].offset;
      if (share && unit.written > 0) layout.written_behind[number] = layout.stops[unit.written - 1];
    }
  }
  layout.first_byte = static_cast<std::size_t>(first_byte);  // of arena bytes, which are aligned
  if (share && !share->in_place) place_share(layout, parameters, share->range);
  return layout;
}

}  // namespace polyphase
