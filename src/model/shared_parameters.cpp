// SPDX-License-Identifier: Apache-2.0
#include "model/shared_parameters.hpp"

#include <optional>

#include "kernels/work.hpp"

namespace polyphase {
namespace {

constexpr auto kSubject = StageLinks::Subject::kParameters;

// Other stages that have the parameter: the nearest before this one, and the nearest behind it.
struct Neighbours {
  std::optional<int> before, behind;
};

Neighbours neighbours(const Parameter& parameter, int own) {
  Neighbours found;
  for (const int stage : parameter.stages) {
    if (stage < own) found.before = stage;
    if (stage > own && !found.behind) found.behind = stage;
  }
  return found;
}

// Calls visit(number, its neighbours).
template <class Visit>
void each_shared(const ParameterSet& parameters, const Visit& visit) {
  for (std::size_t number = 0; number < parameters.all().size(); ++number) {
    const Parameter& parameter = parameters.at(number);
    if (parameter.trained && parameter.is_here() && parameter.stages.size() > 1)
      visit(number, neighbours(parameter, parameters.stage().number));
  }
}

}  // namespace

void receive_gradients(const Exec& exec, ParameterSet& parameters, StageLinks* links) {
  each_shared(parameters, [&](std::size_t number, const Neighbours& others) {
    if (!others.behind) return;
    parameters.gradient_write(number);
    if (!exec.counting())
      links->receive(exec, *others.behind, kSubject, parameters.gradient1(number));
  });
}

void send_gradients(const Exec& exec, ParameterSet& parameters, StageLinks* links) {
  each_shared(parameters, [&](std::size_t number, const Neighbours& others) {
    if (!others.before) return;
    parameters.write_zeros(number, number + 1);  // where nothing has been written
    if (Work* const work = WorkCount::of(exec))
      work->passed_on += static_cast<double>(parameters.at(number).count);
    if (!exec.counting()) links->send(exec, *others.before, kSubject, parameters.gradient1(number));
  });
}

void share_values(const Exec& exec, const ParameterSet& parameters, StageLinks* links) {
  if (links == nullptr) return;
  each_shared(parameters, [&](std::size_t number, const Neighbours&) {
    const Parameter& parameter = parameters.at(number);
    const Tensor1<float> values(parameters.values().data() + parameter.offset, parameter.count);
    if (parameter.is_copy) return links->receive(exec, parameter.stages.front(), kSubject, values);
    for (const int stage : parameter.stages)
      if (stage != links->stage()) links->send(exec, stage, kSubject, values);
  });
  links->finish();
}

}  // namespace polyphase
