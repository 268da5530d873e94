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
Tensor2<const Real> KeptWeights::get(const Exec& exec, std::size_t number, std::int64_t num_rows,
                                     std::int64_t num_columns, const Make<Real>& make) {
  auto& [memory, num_bytes, made] = all_[number];
  num_bytes = static_cast<std::size_t>(num_rows * num_columns) * sizeof(Real);
  if (exec.counting()) {
    const Tensor2<Real> weight(nullptr, num_rows, num_columns);
    make(weight);
    return weight;
  }
  if (memory.extent(0) != num_bytes) {
    memory = Kokkos::View<std::byte*, Memory>(
        Kokkos::view_alloc(Kokkos::WithoutInitializing, "kept weight"), num_bytes);
    use_large_pages(memory.data(), num_bytes);
  }
  const Tensor2<Real> weight(reinterpret_cast<Real*>(memory.data()), num_rows, num_columns);
  if (!made) make(weight);
  made = true;
  return weight;
}

template Tensor2<const float> KeptWeights::get<float>(const Exec&, std::size_t, std::int64_t,
                                                      std::int64_t, const Make<float>&);
template Tensor2<const bf16> KeptWeights::get<bf16>(const Exec&, std::size_t, std::int64_t,
                                                    std::int64_t, const Make<bf16>&);

}  // namespace polyphase
