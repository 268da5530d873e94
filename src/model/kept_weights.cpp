// SPDX-License-Identifier: Apache-2.0
#include "model/kept_weights.hpp"

#include "kernels/large_pages.hpp"

namespace polyphase {

void KeptWeights::forget() {
  for (auto& [number, weight] : all_) weight.made = false;
}

std::size_t KeptWeights::num_bytes() const {
  std::size_t sum = 0;
  for (const auto& [number, weight] : all_) sum += weight.num_bytes;
  return sum;
}

template <class Real>
Tensor2<Real> KeptWeights::get(const Exec& exec, std::size_t number, std::int64_t num_rows,
                               std::int64_t num_columns, bool& fresh) {
  auto& [memory, num_bytes, made] = all_[number];
  num_bytes = static_cast<std::size_t>(num_rows * num_columns) * sizeof(Real);
  fresh = true;
  if (exec.counting()) return Tensor2<Real>(nullptr, num_rows, num_columns);
  fresh = !made;
  made = true;
  if (memory.extent(0) != num_bytes) {
    memory = Kokkos::View<std::byte*, Memory>(
        Kokkos::view_alloc(Kokkos::WithoutInitializing, "kept weight"), num_bytes);
    use_large_pages(memory.data(), num_bytes);
  }
  return Tensor2<Real>(reinterpret_cast<Real*>(memory.data()), num_rows, num_columns);
}

template Tensor2<float> KeptWeights::get(const Exec&, std::size_t, std::int64_t, std::int64_t,
                                         bool&);
template Tensor2<bf16> KeptWeights::get(const Exec&, std::size_t, std::int64_t, std::int64_t,
                                        bool&);

}  // namespace polyphase
