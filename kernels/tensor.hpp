// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Kokkos_Core.hpp>
#include <cstdint>

#include "kernels/bf16.hpp"

// Names of tensors end in their dimensions:
//   B sequences, T tokens of a sequence, S source tokens, C width, H heads, D width of a head,
//   F feed-forward width, V vocabulary (or its local part), L layers, K classes,
//   N rows: all tokens of a micro-batch, sequence after sequence without padding between them,
//   M selected rows, U distinct values.
// Gradients take the prefix d. Extents and offsets are std::int64_t. Every tensor is contiguous,
// last dimension fastest, and lives in the memory of the execution space; host code reaches it
// through copy_to_device and copy_to_host.
namespace polyphase {

using Space = Kokkos::DefaultExecutionSpace;
using Memory = Space::memory_space;
using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;

template <class T>
using Tensor1 = Kokkos::View<T*, Kokkos::LayoutRight, Memory, Unmanaged>;
template <class T>
using Tensor2 = Kokkos::View<T**, Kokkos::LayoutRight, Memory, Unmanaged>;

// The tensor's elements seen as one dimension.
template <class T>
Tensor1<T> flat(const Tensor2<T>& x) {
  return Tensor1<T>(x.data(), x.size());
}

// Rows [first, first + count) of x.
template <class T>
Tensor2<T> rows(const Tensor2<T>& x, std::int64_t first, std::int64_t count) {
  return Tensor2<T>(x.data() + first * static_cast<std::int64_t>(x.extent(1)), count, x.extent(1));
}

}  // namespace polyphase
