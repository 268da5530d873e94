// SPDX-License-Identifier: Apache-2.0
#include "optimizer/optimizer.hpp"

#include "base/error.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kLateStep = std::int64_t{1} << 60;  // everything is trained by then
constexpr std::int64_t kAlignedFloats = 16;                // tensors start at multiples of 64 bytes

std::int64_t product(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

// A state of one number a row is split as the rows are, and so for columns.
StateTensor tensor_of(const StateSpec& spec, std::size_t number, const Parameter& parameter) {
  const ParameterSpec& whole = parameter.spec;
  StateTensor tensor = {.name = std::string(spec.name) + "/" + whole.name,
                        .parameter = number,
                        .global_shape = whole.global_shape,
                        .local_shape = parameter.local_shape,
                        .split_dimension = whole.split_dimension,
                        .begin = whole.split_dimension < 0 ? 0 : whole.split.begin};
  if (spec.extent != StateExtent::kWhole) {
    const int kept = spec.extent == StateExtent::kRows ? 0 : 1;
    tensor.global_shape = {whole.global_shape[static_cast<std::size_t>(kept)]};
    tensor.local_shape = {parameter.local_shape[static_cast<std::size_t>(kept)]};
    tensor.split_dimension = whole.split_dimension == kept ? 0 : -1;
    if (tensor.split_dimension < 0) tensor.begin = 0;
  }
  tensor.count = product(tensor.local_shape);
  return tensor;
}

}  // namespace

Optimizer::Optimizer(const ParameterSet& parameters, const recipe::Phase& phase,
                     const Communicator& tensor)
    : tensor_(tensor),
      rule_(make_update_rule(phase.optimizer)),
      treatments_(treatments(parameters, phase)) {
  for (std::size_t number = 0; number < parameters.all().size(); ++number) {
    if (!treatments_[number].is_trained()) continue;
    Trained trained = {
        .number = number, .treatment = treatments_[number], .first_state = state_.size()};
    for (const StateSpec& spec : rule_->state_of(parameters.at(number))) {
      StateTensor tensor_state = tensor_of(spec, number, parameters.at(number));
      tensor_state.offset = total_count_;
      total_count_ += (tensor_state.count + kAlignedFloats - 1) / kAlignedFloats * kAlignedFloats;
      state_.push_back(std::move(tensor_state));
      ++trained.num_states;
    }
    trained_.push_back(trained);
  }
}

void Optimizer::allocate() {
  storage_ = Kokkos::View<float*, Memory>("optimizer state", total_count_);
  for (StateTensor& tensor : state_) {
    tensor.values = Tensor1<float>(storage_.data() + tensor.offset, tensor.count);
  }
}

std::int64_t Optimizer::state_bytes() const {
  return total_count_ * static_cast<std::int64_t>(sizeof(float));
}

std::size_t Optimizer::plan_arena_bytes(ParameterSet& parameters) const {
  Arena counting;
  update({.space = {}, .arena = &counting}, parameters,
         Tensor1<const float>(nullptr, parameters.total_count()), 1.0, 1.0, kLateStep);
  return counting.peak_bytes();
}

void Optimizer::go_on_from(const ParameterSet& parameters,
                           const std::map<std::string, std::int64_t>& updates) {
  for (Trained& trained : trained_) {
    const auto found = updates.find(parameters.at(trained.number).spec.name);
    if (found != updates.end()) trained.num_updates_before = found->second;
  }
}

void Optimizer::begin_step(ParameterSet& parameters, std::int64_t step) const {
  for (std::size_t number = 0; number < treatments_.size(); ++number) {
    parameters.set_trained(number, treatments_[number].first_step <= step);
  }
}

void Optimizer::update(const Exec& exec, ParameterSet& parameters, Tensor1<const float> gradients,
                       double learning_rate, double gradient_scale, std::int64_t step) const {
  std::vector<Tensor1<float>> state;
  for (const Trained& trained : trained_) {
    const Treatment& treatment = trained.treatment;
    if (treatment.first_step > step) continue;
    const Parameter& parameter = parameters.at(trained.number);
    state.clear();
    for (std::size_t s = 0; s < trained.num_states; ++s) {
      const StateTensor& tensor = state_[trained.first_state + s];
      state.push_back(Tensor1<float>(storage_.data() + tensor.offset, tensor.count));
    }
    rule_->update(
        exec, tensor_,
        {.parameter = parameter,
         .value = Tensor1<float>(parameters.values().data() + parameter.offset, parameter.count),
         .gradient = Tensor1<const float>(gradients.data() + parameter.offset, parameter.count),
         .state = state},
        {.learning_rate = learning_rate * treatment.learning_rate_scale,
         .weight_decay = treatment.weight_decay,
         .gradient_scale = gradient_scale,
         .count = trained.num_updates_before + step - treatment.first_step + 1});
  }
}

}  // namespace polyphase
