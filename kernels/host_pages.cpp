// SPDX-License-Identifier: Apache-2.0
#include "kernels/host_pages.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>

#include "kernels/tensor.hpp"

namespace polyphase {
namespace {

constexpr bool kOnHost =
    Kokkos::SpaceAccessibility<Kokkos::DefaultHostExecutionSpace, Memory>::accessible;

// Part of a large page would be given back by splitting it first.
constexpr std::uintptr_t kLargePage = std::uintptr_t{2} << 20;

void advise(void* data, std::size_t num_bytes, int advice) {
  if constexpr (kOnHost) {
    const auto address = reinterpret_cast<std::uintptr_t>(data);
    const std::uintptr_t begin = (address + kLargePage - 1) / kLargePage * kLargePage;
    const std::uintptr_t end = (address + num_bytes) / kLargePage * kLargePage;
    // Advice that a system does not take changes nothing but the memory that is used.
    if (begin < end) (void)madvise(reinterpret_cast<void*>(begin), end - begin, advice);
  }
}

}  // namespace

void use_large_pages(void* data, std::size_t num_bytes) { advise(data, num_bytes, MADV_HUGEPAGE); }

void give_back_pages(void* data, std::size_t num_bytes) { advise(data, num_bytes, MADV_DONTNEED); }

void spoil(void* data, std::size_t num_bytes) {
  if constexpr (kOnHost) std::memset(data, 0xFF, num_bytes);  // NaN in float and bf16
}

}  // namespace polyphase
