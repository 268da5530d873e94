// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/large_pages.hpp"
#include "train/phase_model.hpp"

namespace polyphase {

// The workspace of a product need not shrink with its rows, as all else does.
static constexpr std::size_t kSlack = std::size_t{1} << 20;

auto PhaseModel::plan_training(std::size_t num_gradient_sets, std::size_t update_bytes) const
    -> TrainingMemory {
  TrainingMemory memory = {.arena_bytes = std::max(arena_bytes_, update_bytes),
                           .layout = writes_.layout(parameters_.all())};
  memory.gradient_bytes = num_gradient_sets * memory.layout.num_bytes();
  // Gradients that wait for those of other micro-batches would be written over by their passes.
  memory.first_gradient =
      num_gradient_sets == 1 ? std::max(memory.layout.first_byte, update_bytes) + kSlack : 0;
  memory.bytes = num_gradient_sets == 1
                     ? std::max(memory.arena_bytes, memory.first_gradient + memory.gradient_bytes)
                     : memory.arena_bytes + memory.gradient_bytes;
  return memory;
}

void PhaseModel::allocate_training(std::size_t num_gradient_sets, std::size_t update_bytes,
                                   const Communicator& data) {
  writes_.agree(data);
  const TrainingMemory memory = plan_training(num_gradient_sets, update_bytes);
  parameters_.allocate();
  if (num_gradient_sets == 1) {
    allocate_arena(memory.bytes);
    parameters_.share_gradients(memory.layout, arena_, memory.first_gradient);
  } else {
    allocate_arena(memory.arena_bytes);
    parameters_.allocate_gradients(memory.layout, num_gradient_sets);
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
