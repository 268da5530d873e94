// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention_divergence.hpp"
#include "kernels/attention_portable.hpp"
#include "kernels/attention_tiles_cuda.hpp"

// Devices multiply in bf16 on tensor cores where they have them, and else run the portable
// implementation.
namespace polyphase {

template <class Real>
void attention_forward(const Exec& exec, Tensor2<Real> out_NC, Tensor2<float> log_sum_NH,
                       const AttentionInput<Real>& input, const Dropout& dropout) {
  const KernelRegion region("attention_forward");
  if constexpr (sizeof(Real) == sizeof(bf16)) {
    if (attention_tiles::can_run(input))
      return attention_tiles::forward(exec, out_NC, log_sum_NH, input, dropout);
  }
  attention_forward_portable<Real>(exec, out_NC, log_sum_NH, input, dropout);
}

template <class Real>
void attention_backward(const Exec& exec, HeadColumns<Real> dquery, HeadColumns<Real> dkey,
                        HeadColumns<Real> dvalue, Tensor2<float> dpositions_UH,
                        Write positions_write, Tensor2<const Real> dout_NC,
                        Tensor2<const Real> out_NC, Tensor2<const float> log_sum_NH,
                        const AttentionInput<Real>& input, const Dropout& dropout) {
  const KernelRegion region("attention_backward");
  if constexpr (sizeof(Real) == sizeof(bf16)) {
    if (attention_tiles::can_run(input)) {
      return attention_tiles::backward(exec, dquery, dkey, dvalue, dpositions_UH, positions_write,
                                       dout_NC, out_NC, log_sum_NH, input, dropout);
    }
  }
  attention_backward_portable<Real>(exec, dquery, dkey, dvalue, dpositions_UH, positions_write,
                                    dout_NC, out_NC, log_sum_NH, input, dropout);
}

template <class Real>
void attention_divergence(const Exec& exec, Tensor2<float> divergence_NH,
                          const DoneAttention<Real>& student, const DoneAttention<Real>& teacher) {
  const KernelRegion region("attention_divergence");
  attention_divergence_portable<Real>(exec, divergence_NH, student, teacher);
}

template <class Real>
void attention_divergence_backward(const Exec& exec, HeadColumns<Real> dquery,
                                   HeadColumns<Real> dkey, Tensor2<float> dpositions_UH,
                                   const DoneAttention<Real>& student,
                                   const DoneAttention<Real>& teacher, float scale) {
  const KernelRegion region("attention_divergence_backward");
  attention_divergence_backward_portable<Real>(exec, dquery, dkey, dpositions_UH, student, teacher,
                                               scale);
}

#define POLYPHASE_ATTENTION(Real)                                                                  \
  template void attention_forward<Real>(const Exec&, Tensor2<Real>, Tensor2<float>,                \
                                        const AttentionInput<Real>&, const Dropout&);              \
  template void attention_backward<Real>(                                                          \
      const Exec&, HeadColumns<Real>, HeadColumns<Real>, HeadColumns<Real>, Tensor2<float>, Write, \
      Tensor2<const Real>, Tensor2<const Real>, Tensor2<const float>, const AttentionInput<Real>&, \
      const Dropout&);                                                                             \
  template void attention_divergence<Real>(                                                        \
      const Exec&, Tensor2<float>, const DoneAttention<Real>&, const DoneAttention<Real>&);        \
  template void attention_divergence_backward<Real>(                                               \
      const Exec&, HeadColumns<Real>, HeadColumns<Real>, Tensor2<float>,                           \
      const DoneAttention<Real>&, const DoneAttention<Real>&, float);
POLYPHASE_ATTENTION(float)
POLYPHASE_ATTENTION(bf16)
#undef POLYPHASE_ATTENTION

}  // namespace polyphase
