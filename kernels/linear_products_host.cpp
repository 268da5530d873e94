// SPDX-License-Identifier: Apache-2.0
#include "kernels/linear_products.hpp"

namespace polyphase {

// oneDNN's product with an activation behind it writes only one of both results.
template <class Real>
void matmul_activated(const Exec& exec, Activation kind, Tensor2<Real> y_MN, Tensor2<Real> x_MN,
                      Tensor2<const Real> a_MK, Tensor2<const Real> weight_NK,
                      Tensor1<const float> bias_N) {
  matmul_and_activate(exec, kind, y_MN, x_MN, a_MK, weight_NK, bias_N);
}

template void matmul_activated<float>(const Exec&, Activation, Tensor2<float>, Tensor2<float>,
                                      Tensor2<const float>, Tensor2<const float>,
                                      Tensor1<const float>);
template void matmul_activated<bf16>(const Exec&, Activation, Tensor2<bf16>, Tensor2<bf16>,
                                     Tensor2<const bf16>, Tensor2<const bf16>,
                                     Tensor1<const float>);

}  // namespace polyphase
