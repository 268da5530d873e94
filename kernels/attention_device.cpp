// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention_portable.hpp"

// Devices run the portable implementation.
namespace polyphase {

template <class Real>
void attention_forward(const Exec& exec, Tensor2<Real> out_NC, Tensor2<float> log_sum_NH,
                       Tensor2<const Real> qkv_N3C, const Sequences& sequences,
                       const AttentionShape& shape, const Dropout& dropout) {
  const KernelRegion region("attention_forward");
  attention_forward_portable(exec, out_NC, log_sum_NH, qkv_N3C, sequences, shape, dropout);
}

template <class Real>
void attention_backward(const Exec& exec, Tensor2<Real> dqkv_N3C, Tensor2<const Real> dout_NC,
                        Tensor2<const Real> out_NC, Tensor2<const float> log_sum_NH,
                        Tensor2<const Real> qkv_N3C, const Sequences& sequences,
                        const AttentionShape& shape, const Dropout& dropout) {
  const KernelRegion region("attention_backward");
  attention_backward_portable(exec, dqkv_N3C, dout_NC, out_NC, log_sum_NH, qkv_N3C, sequences,
                              shape, dropout);
}

#define POLYPHASE_ATTENTION(Real)                                                                 \
  template void attention_forward<Real>(const Exec&, Tensor2<Real>, Tensor2<float>,               \
                                        Tensor2<const Real>, const Sequences&,                    \
                                        const AttentionShape&, const Dropout&);                   \
  template void attention_backward<Real>(                                                         \
      const Exec&, Tensor2<Real>, Tensor2<const Real>, Tensor2<const Real>, Tensor2<const float>, \
      Tensor2<const Real>, const Sequences&, const AttentionShape&, const Dropout&);
POLYPHASE_ATTENTION(float)
POLYPHASE_ATTENTION(bf16)
#undef POLYPHASE_ATTENTION

}  // namespace polyphase
