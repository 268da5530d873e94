// SPDX-License-Identifier: Apache-2.0
#include "optimizer/optimizer.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "base/philox.hpp"
#include "comm/device_sum.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/large_pages.hpp"

namespace polyphase {
namespace {

constexpr std::int64_t kLateStep = std::int64_t{1} << 60;  // everything is trained by then

// What each data rank has of the parts of the storage that a step trains.
std::vector<std::vector<ArrayPart>> trained_parts(const ParameterSet& parameters,
                                                  const Shards& shards) {
  const std::vector<StorageRange> trained = parameters.trained_ranges();
  std::vector<std::vector<ArrayPart>> parts;
  for (const StorageRange& range : shards.ranges) {
    parts.emplace_back();
    for (const StorageRange& part : trained) {
      const std::int64_t begin = std::max(range.begin, part.begin),
                         end = std::min(range.end, part.end);
      if (begin < end) parts.back().push_back({.begin = begin, .end = end});
    }
  }
  return parts;
}

}  // namespace

Optimizer::Optimizer(const ParameterSet& parameters, const recipe::Phase& phase,
                     const Communicator& tensor, Shards shards)
    : tensor_(tensor),
      rule_(make_update_rule(phase.optimizer)),
      treatments_(treatments(parameters, phase)),
      shards_(std::move(shards)),
      layout_(shards_, rule_->rounds_state() ? sizeof(bf16) : sizeof(float)) {
  for (std::size_t number = 0; number < parameters.all().size(); ++number) {
    const Parameter& parameter = parameters.at(number);
    if (!treatments_[number].is_trained() || !parameter.is_own) continue;
    for (const Piece& piece : shards_.pieces_of(parameter)) {
      Trained trained = {.number = number,
                         .piece = piece,
                         .treatment = treatments_[number],
                         .first_state = state_.size()};
      for (const StateSpec& spec : rule_->state_of(parameter)) {
        state_.push_back(state_tensor(spec, number, parameter, piece, shards_));
        layout_.place(state_.back());
        ++trained.num_states;
      }
      trained_.push_back(trained);
    }
  }
}

void Optimizer::allocate() {
  const auto count = static_cast<std::size_t>(state_bytes(shards_.rank)) / sizeof(float);
  storage_ = Kokkos::View<float*, Memory>(
      Kokkos::view_alloc(Kokkos::WithoutInitializing, "optimizer state"), count);
  use_large_pages(storage_.data(), count * sizeof(float));
  fill(Exec{}, Tensor1<float>(storage_.data(), count), 0.0F);  // two zeros of bf16, too
  for (StateTensor& tensor : state_) {
    if (!tensor.is_here) continue;
    if (rule_->rounds_state()) {
      tensor.rounded = rounded_values(tensor);
    } else {
      tensor.values = values(tensor);
    }
  }
}

Tensor1<float> Optimizer::values(const StateTensor& tensor) const {
  return Tensor1<float>(storage_.data() + tensor.offset, tensor.count);
}

Tensor1<bf16> Optimizer::rounded_values(const StateTensor& tensor) const {
  return Tensor1<bf16>(reinterpret_cast<bf16*>(storage_.data()) + tensor.offset, tensor.count);
}

std::size_t Optimizer::plan_arena_bytes(ParameterSet& parameters) const {
  Arena counting;
  update({.space = {}, .arena = &counting}, parameters,
         Tensor1<const float>(nullptr, parameters.total_count()), 1.0, 1.0, kLateStep);
  return counting.peak_bytes();
}

void Optimizer::go_on_from(const ParameterSet& parameters,
                           const std::map<std::string, std::int64_t>& updates,
                           const std::map<std::string, std::int64_t>& squares) {
  for (Trained& trained : trained_) {
    const std::string& name = parameters.at(trained.number).spec.name;
    const auto found = updates.find(name), found_squares = squares.find(name);
    if (found == updates.end()) continue;
    trained.num_updates_before = found->second;
    trained.num_squares_before =
        found_squares == squares.end() ? found->second : found_squares->second;
  }
}

void Optimizer::mark_trained(ParameterSet& parameters) const { begin_step(parameters, kLateStep); }

void Optimizer::begin_step(ParameterSet& parameters, std::int64_t step) const {
  for (std::size_t number = 0; number < treatments_.size(); ++number) {
    parameters.set_trained(number, treatments_[number].first_step <= step);
  }
}

void Optimizer::update(const Exec& exec, ParameterSet& parameters, Tensor1<const float> gradients,
                       double learning_rate, double gradient_scale, std::int64_t step) const {
  std::vector<ParameterUpdate> updates;
  for (const Trained& trained : trained_) {
    const Treatment& treatment = trained.treatment;
    if (treatment.first_step > step) continue;
    // A plan counts what others have too, so that all ranks have as large an arena.
    if (!exec.counting() && !shards_.has(trained.piece.owner)) continue;
    const Parameter& parameter = parameters.at(trained.number);
    const std::int64_t begin = trained.piece.begin;
    std::vector<Tensor1<float>> state;
    std::vector<Tensor1<bf16>> rounded;
    for (std::size_t s = 0; s < trained.num_states; ++s) {
      const StateTensor& tensor = state_[trained.first_state + s];
      if (rule_->rounds_state()) {
        rounded.push_back(rounded_values(tensor));
      } else {
        state.push_back(values(tensor));
      }
    }
    const std::int64_t updates_here = step - treatment.first_step + 1;
    const std::int64_t count = trained.num_updates_before + updates_here;
    updates.push_back(
        {.tensors = {.parameter = parameter,
                     .value = Tensor1<float>(parameters.values().data() + parameter.offset + begin,
                                             trained.piece.count),
                     .gradient = Tensor1<const float>(
                         gradients.data() + parameter.sum_offset + begin, trained.piece.count),
                     .state = std::move(state),
                     .rounded_state = std::move(rounded),
                     .first_element = begin},
         .numbers = {
             .learning_rate = learning_rate * treatment.learning_rate_scale,
             .weight_decay = treatment.weight_decay,
             .gradient_scale = gradient_scale,
             .count = count,
             .squares_count = trained.num_squares_before + updates_here,
             .rounding_key = random_key(0, Purpose::kRounding,
                                        {static_cast<std::uint64_t>(count), trained.number})}});
  }
  rule_->update(exec, tensor_, updates);
}

void Optimizer::share_updates(const Exec& exec, ParameterSet& parameters,
                              const Communicator& data) const {
  if (!shards_.divided()) return;
  parameters.await(std::make_unique<PartsExchange>(exec, data, parameters.values(),
                                                   trained_parts(parameters, shards_)));
}

}  // namespace polyphase
