// SPDX-License-Identifier: Apache-2.0
#include "objective/linear_head.hpp"

#include "kernels/elementwise.hpp"

namespace polyphase {
namespace {

template <class Real>
Tensor2<const float> in_float(const Pass& pass, Tensor2<const Real> x_MK) {
  if constexpr (std::is_same_v<Real, float>) return x_MK;
  const auto copy_MK = pass.exec.arena->take2<float>(x_MK.extent(0), x_MK.extent(1));
  convert<float, Real>(pass.exec, flat(copy_MK), flat(x_MK));
  return copy_MK;
}

}  // namespace

LinearHead::LinearHead(ParameterSet& parameters, const Communicator& tensor,
                       const std::string& name, std::int64_t width, std::int64_t num_outputs,
                       const std::optional<recipe::Ngrams>& ngrams)
    : num_outputs_(num_outputs),
      output_(parameters, tensor, {{name, num_outputs}}, {.in = width}),
      ngrams_(parameters, name, num_outputs, ngrams) {}

template <class Real>
Tensor2<float> LinearHead::forward(const Pass& pass, Tensor2<const Real> x_MC) const {
  const auto y_MK =
      pass.exec.arena->take2<float>(static_cast<std::int64_t>(x_MC.extent(0)), num_outputs_);
  forward<Real>(pass, y_MK, x_MC);
  return y_MK;
}

template <class Real>
void LinearHead::forward(const Pass& pass, Tensor2<float> y_MK, Tensor2<const Real> x_MC) const {
  output_.forward<Real, float>(pass, y_MK, x_MC);
  ngrams_.forward(pass, y_MK);
}

template <class Real>
void LinearHead::backward(const Pass& pass, Tensor2<float> dx_MC, Tensor2<const Real> dy_MK,
                          Tensor2<const Real> x_MC) const {
  output_.backward_weight_and_bias<Real>(pass, dy_MK, x_MC);
  output_.backward_input<Real, float>(pass, dx_MC, dy_MK);
  if (ngrams_) ngrams_.backward(pass, in_float<Real>(pass, dy_MK));
}

template <class Real>
std::vector<float> LinearHead::forward_to_host(const Pass& pass, Tensor2<const Real> x_MC) const {
  return download<float>(pass.exec, flat(forward<Real>(pass, x_MC)));
}

template <class Real>
void LinearHead::backward_from_host(const Pass& pass, Tensor2<float> dx_MC,
                                    const std::vector<float>& dy_MK,
                                    Tensor2<const Real> x_MC) const {
  const auto dy =
      pass.exec.arena->take2<Real>(static_cast<std::int64_t>(x_MC.extent(0)), num_outputs_);
  convert<Real, float>(pass.exec, flat(dy), upload(pass.exec, dy_MK));
  backward<Real>(pass, dx_MC, dy, x_MC);
}

#define POLYPHASE_LINEAR_HEAD(Real)                                                                \
  template Tensor2<float> LinearHead::forward(const Pass&, Tensor2<const Real>) const;             \
  template void LinearHead::forward(const Pass&, Tensor2<float>, Tensor2<const Real>) const;       \
  template void LinearHead::backward(const Pass&, Tensor2<float>, Tensor2<const Real>,             \
                                     Tensor2<const Real>) const;                                   \
  template std::vector<float> LinearHead::forward_to_host(const Pass&, Tensor2<const Real>) const; \
  template void LinearHead::backward_from_host(                                                    \
      const Pass&, Tensor2<float>, const std::vector<float>&, Tensor2<const Real>) const;
POLYPHASE_LINEAR_HEAD(float)
POLYPHASE_LINEAR_HEAD(bf16)
#undef POLYPHASE_LINEAR_HEAD

}  // namespace polyphase
