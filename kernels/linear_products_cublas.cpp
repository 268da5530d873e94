// SPDX-License-Identifier: Apache-2.0
#include "kernels/cublas_lt.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/linear_products.hpp"
#include "kernels/work.hpp"

namespace polyphase {
namespace {

// The library's GELU is the tanh form, and its bias has the result's type. Of operands in float32
// there is no such product.
bool multiply_activated(const Exec& exec, const Tensor2<bf16>& y_MN, const Tensor2<bf16>& x_MN,
                        const Tensor2<const bf16>& a_MK, const Tensor2<const bf16>& weight_NK,
                        const Tensor1<const float>& bias_N) {
  const KernelRegion region("matmul");
  const NotedAlready noted;  // by the steps that a pass which counts takes one by one
  // The leading dimension of what GELU goes into must be a multiple of 8.
  if (x_MN.extent(1) % 8 != 0) return false;
  const ArenaScope scope(*exec.arena);
  const auto y = y_MN.extent(0) != 0
                     ? y_MN
                     : exec.arena->take2<bf16>(static_cast<std::int64_t>(x_MN.extent(0)),
                                               static_cast<std::int64_t>(x_MN.extent(1)));
  const auto bias = exec.arena->take1<bf16>(static_cast<std::int64_t>(bias_N.extent(0)));
  convert<bf16, float>(exec, bias, bias_N);
  return cublas_lt::multiply<bf16, bf16>(
      exec, y, a_MK, Transpose::kNo, weight_NK, Transpose::kYes, Write::kOverwrite,
      {.epilogue = cublas_lt::Epilogue::kBiasGelu, .bias = bias.data(), .aux = x_MN.data()});
}

}  // namespace

template <class Real>
void matmul_activated(const Exec& exec, Activation kind, Tensor2<Real> y_MN, Tensor2<Real> x_MN,
                      Tensor2<const Real> a_MK, Tensor2<const Real> weight_NK,
                      Tensor1<const float> bias_N) {
  if constexpr (sizeof(Real) == sizeof(bf16)) {
    if (kind == Activation::kGeluTanh && bias_N.extent(0) != 0 &&
        multiply_activated(exec, y_MN, x_MN, a_MK, weight_NK, bias_N))
      return;
  }
  matmul_and_activate(exec, kind, y_MN, x_MN, a_MK, weight_NK, bias_N);
}

template void matmul_activated<float>(const Exec&, Activation, Tensor2<float>, Tensor2<float>,
                                      Tensor2<const float>, Tensor2<const float>,
                                      Tensor1<const float>);
template void matmul_activated<bf16>(const Exec&, Activation, Tensor2<bf16>, Tensor2<bf16>,
                                     Tensor2<const bf16>, Tensor2<const bf16>,
                                     Tensor1<const float>);

}  // namespace polyphase
