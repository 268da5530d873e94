// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "kernels/large_pages.hpp"
#include "train/phase_model.hpp"

namespace polyphase {

// The workspace of a product need not shrink with its rows, as all else does.
static constexpr std::size_t kSlack = std::size_t{1} << 20;

auto PhaseModel::plan_training(std::size_t num_gradient_sets, std::size_t update_bytes,
                               const Shards& shards) const -> TrainingMemory {
  TrainingMemory memory = {
      .arena_bytes = std::max(arena_bytes_, update_bytes),
      .link_bytes = planned_link_bytes(),
      .copy_bytes = static_cast<std::size_t>(parameters_.count_passed_on()) * sizeof(float)};
  if (!more_arenas_.empty()) {
    memory.arena_bytes = std::max(memory.arena_bytes, kept_bytes_ + work_bytes_ + kSlack) +
                         more_arenas_.size() * kept_bytes_;
  }
  const bool one = num_gradient_sets == 1;
  std::optional<GradientShare> share;
  if (shards.divides_gradients) {
    share = {.range = shards.ranges[static_cast<std::size_t>(shards.rank)], .in_place = one};
  }
  memory.layout = writes_.layout(parameters_.all(), share);
  if (share && !one) {
    memory.share_bytes =
        num_gradient_sets * static_cast<std::size_t>(memory.layout.sum_count) * sizeof(float);
    memory.gradient_bytes = memory.layout.num_bytes() + memory.share_bytes;
  } else {
    memory.gradient_bytes = num_gradient_sets * memory.layout.num_bytes();
  }
  // Sets of all gradients that wait for those of other micro-batches would be written over by their
  // passes; what is copied out of a pass's place is not there any more when the update comes.
  const bool shares = one || share;
  if (shares && !more_arenas_.empty()) {
    memory.first_gradient = memory.arena_bytes;  // other passes are under way
    memory.bytes = memory.share_bytes + memory.arena_bytes + memory.layout.num_bytes();
  } else if (shares) {
    memory.first_gradient =
        std::min(memory.arena_bytes,
                 std::max(memory.layout.first_byte, one ? update_bytes : std::size_t{0}) + kSlack);
    memory.bytes = memory.share_bytes +
                   std::max(memory.arena_bytes, memory.first_gradient + memory.layout.num_bytes());
  } else {
    memory.bytes = memory.arena_bytes + memory.gradient_bytes;
  }
  memory.gradient_bytes += memory.copy_bytes;
  memory.bytes += memory.copy_bytes + memory.link_bytes;
  return memory;
}

void PhaseModel::allocate_training(std::size_t num_gradient_sets, std::size_t update_bytes,
                                   const Shards& shards, const Communicator& data) {
  writes_.agree(data);
  const TrainingMemory memory = plan_training(num_gradient_sets, update_bytes, shards);
  parameters_.allocate();
  if (num_gradient_sets == 1 || shards.divides_gradients) {
    allocate_arena(memory.bytes - memory.share_bytes - memory.copy_bytes - memory.link_bytes);
    divide_arena(memory.arena_bytes);
    parameters_.share_gradients(memory.layout, arena_, memory.first_gradient,
                                num_gradient_sets == 1 ? 0 : num_gradient_sets);
  } else {
    allocate_arena(memory.arena_bytes);
    divide_arena(memory.arena_bytes);
    parameters_.allocate_gradients(memory.layout, num_gradient_sets);
  }
}

// Each pass under way has a piece for what it keeps. That of the first one is followed by the piece
// that all of them work in.
void PhaseModel::divide_arena(std::size_t num_bytes) {
  const std::size_t first_bytes = num_bytes - more_arenas_.size() * kept_bytes_;
  if (!more_arenas_.empty()) arena_ = Arena(memory_.data(), first_bytes);
  std::byte* next = memory_.data() + first_bytes;
  for (Arena& arena : more_arenas_) {
    arena = Arena(next, kept_bytes_, memory_.data() + kept_bytes_, first_bytes - kept_bytes_);
    next += kept_bytes_;
  }
}

void PhaseModel::allocate_arena(std::size_t num_bytes) {
  // Pages that no pass reaches are never touched, so planning for the largest batch costs nothing.
  memory_ = {};  // not two arenas at once
  memory_ = Kokkos::View<std::byte*, Memory>(
      Kokkos::view_alloc(Kokkos::WithoutInitializing, "arena"), num_bytes);
  use_large_pages(memory_.data(), num_bytes);
  arena_ = Arena(memory_.data(), num_bytes);
}

}  // namespace polyphase
