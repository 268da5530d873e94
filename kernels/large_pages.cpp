// SPDX-License-Identifier: Apache-2.0
#include "kernels/large_pages.hpp"

#include <sys/mman.h>

#include <cstdint>

#include "kernels/tensor.hpp"

namespace polyphase {

void use_large_pages(void* data, std::size_t num_bytes) {
  constexpr std::uintptr_t kLargePage = std::uintptr_t{2} << 20;
  if constexpr (Kokkos::SpaceAccessibility<Kokkos::DefaultHostExecutionSpace, Memory>::accessible) {
    const auto address = reinterpret_cast<std::uintptr_t>(data);
    const std::uintptr_t begin = (address + kLargePage - 1) / kLargePage * kLargePage;
    const std::uintptr_t end = (address + num_bytes) / kLargePage * kLargePage;
    // A system that does not take the advice changes nothing but the time.
    if (begin < end) (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  }
}

}  // namespace polyphase
