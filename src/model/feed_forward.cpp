// SPDX-License-Identifier: Apache-2.0
#include "model/feed_forward.hpp"

#include "model/initial_deviation.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

bool is_gated(const std::string& activation) {
  return activation == "swiglu" || activation == "geglu";
}

Activation activation_named(const std::string& name) {
  if (name == "gelu") return Activation::kGelu;
  if (name == "gelu_tanh" || name == "geglu") return Activation::kGeluTanh;
  if (name == "relu") return Activation::kRelu;
  if (name == "silu" || name == "swiglu") return Activation::kSilu;
  POLYPHASE_PROMISE(false, "the recipe let an unknown activation {} through", name);
}

std::vector<LinearOutput> inputs_of(const recipe::Model& model, const std::string& name) {
  const std::int64_t width = recipe::feed_forward_of(model);
  if (!is_gated(model.activation)) return {{name + ".in", width}};
  return {{name + ".in", width}, {name + ".gate", width}};
}

}  // namespace

template <class Real>
FeedForward<Real>::FeedForward(ParameterSet& parameters, const Communicator& tensor,
                               const recipe::Model& model, const std::string& name)
    : gated_(is_gated(model.activation)),
      activation_(activation_named(model.activation)),
      input_(parameters, tensor, inputs_of(model, name),
             {.in = model.width,
              .split = LinearSplit::kOutput,
              .has_bias = model.biases,
              .deviation = deviation_inside(model, static_cast<double>(model.width))}),
      output_(parameters, tensor, {{name + ".out", model.width}},
              {.in = recipe::feed_forward_of(model),
               .split = LinearSplit::kInput,
               .has_bias = model.biases,
               .deviation = deviation_to_residual(
                   model, static_cast<double>(recipe::feed_forward_of(model)))}) {}

template <class Real>
void FeedForward<Real>::forward(const Pass& pass, Tensor2<float> update_NC,
                                Tensor2<const Real> y_NC, std::uint64_t) {
  Arena& arena = *pass.exec.arena;
  hidden_NF_ = arena.take2<Real>(pass.num_rows, input_.local_out());
  const ArenaScope scope(arena);
  const bool run_again = update_NC.extent(0) == 0;
  const auto active_NF =
      run_again ? Tensor2<Real>() : arena.take2<Real>(pass.num_rows, output_.local_in());
  if (gated_) {
    input_.template forward<Real, Real>(pass, hidden_NF_, y_NC);
    if (!run_again) gated_activation_forward<Real>(pass.exec, activation_, active_NF, hidden_NF_);
  } else {
    input_.template forward_activated<Real>(pass, activation_, active_NF, hidden_NF_, y_NC);
  }
  if (!run_again) output_.template forward<Real, float>(pass, update_NC, active_NF);
}

template <class Real>
void FeedForward<Real>::backward(const Pass& pass, Tensor2<float> dy_NC,
                                 Tensor2<const Real> dupdate_NC, Tensor2<const Real> y_NC) {
  Arena& arena = *pass.exec.arena;
  const ArenaScope scope(arena);
  const auto dactive_NF = arena.take2<Real>(pass.num_rows, output_.local_in());
  // What went into the activation is read here for the last time: its memory takes one result.
  Tensor2<Real> dhidden_NF, active_NF;
  BiasGradient left;  // to the gradient of the input's weight
  if (gated_) {
    output_.template backward_input<Real, Real>(pass, dactive_NF, dupdate_NC);
    dhidden_NF = hidden_NF_;
    active_NF = arena.take2<Real>(pass.num_rows, output_.local_in());
    const BiasGradient dbias = input_.bias_gradient();
    gated_activation_backward<Real>(pass.exec, activation_, dhidden_NF, active_NF, dbias.sum_N,
                                    dbias.write, dactive_NF, hidden_NF_);
  } else {
    dhidden_NF = dactive_NF;
    active_NF = hidden_NF_;
    left = output_.template backward_activated<Real>(
        pass, activation_, dhidden_NF, active_NF, input_.bias_gradient(), dupdate_NC, hidden_NF_);
  }
  output_.template backward_weight<Real>(pass, dupdate_NC, active_NF);
  input_.template backward_weight<Real>(pass, dhidden_NF, y_NC, left);
  input_.template backward_input<Real, float>(pass, dy_NC, dhidden_NF);
}

template class FeedForward<float>;
template class FeedForward<bf16>;

}  // namespace polyphase
