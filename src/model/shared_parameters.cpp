// SPDX-License-Identifier: Apache-2.0
#include "model/shared_parameters.hpp"

#include <optional>
#include <set>

#include "kernels/work.hpp"

namespace polyphase {
namespace {

StageLinks::Name name_of(std::size_t parameter) {
  return {.subject = StageLinks::Subject::kParameter, .parameter = parameter};
}

// Other chunks that use the parameter: the nearest before this one, and the nearest behind it.
struct Neighbours {
  std::optional<int> before, behind;
};

Neighbours neighbours(const Parameter& parameter, int own) {
  Neighbours found;
  for (const int chunk : parameter.chunks) {
    if (chunk < own) found.before = chunk;
    if (chunk > own && !found.behind) found.behind = chunk;
  }
  return found;
}

// Calls visit(number, its neighbours).
template <class Visit>
void each_shared(const ParameterSet& parameters, const Visit& visit) {
  for (std::size_t number = 0; number < parameters.all().size(); ++number) {
    const Parameter& parameter = parameters.at(number);
    if (parameter.trained && parameter.chunks.size() > 1 && parameters.is_in_chunk(number))
      visit(number, neighbours(parameter, parameters.chunk().number));
  }
}

}  // namespace

void receive_gradients(const Exec& exec, ParameterSet& parameters, StageLinks* links) {
  each_shared(parameters, [&](std::size_t number, const Neighbours& others) {
    if (!others.behind) return;
    parameters.gradient_write(number);
    if (exec.counting()) return;
    links->receive(exec, parameters.stage().stage_of(*others.behind), name_of(number),
                   parameters.gradient1(number));
  });
}

void send_gradients(const Exec& exec, ParameterSet& parameters, StageLinks* links) {
  each_shared(parameters, [&](std::size_t number, const Neighbours& others) {
    if (!others.before) return;
    parameters.write_zeros(number, number + 1);  // where nothing has been written
    const int stage = parameters.stage().stage_of(*others.before);
    const std::int64_t count = parameters.at(number).count;
    if (!exec.counting())
      return links->send(exec, stage, name_of(number), parameters.gradient1(number));
    links->plan(stage, name_of(number), count);
    if (Work* const work = WorkCount::of(exec)) work->passed_on += static_cast<double>(count);
  });
}

// All stages go through these parameters in the same order, so that none waits for good.
void share_values(const Exec& exec, const ParameterSet& parameters, StageLinks* links) {
  if (links == nullptr) return;
  const PipelineStage& own = parameters.stage();
  for (std::size_t number = 0; number < parameters.all().size(); ++number) {
    const Parameter& parameter = parameters.at(number);
    if (!parameter.trained) continue;
    const int owner = own.stage_of(parameter.chunks.front());
    std::set<int> copies;
    for (const int chunk : parameter.chunks) copies.insert(own.stage_of(chunk));
    copies.erase(owner);
    if (parameter.is_own && !copies.empty()) parameters.wait_for_value(number);
    const Tensor1<float> values(parameters.values_so_far().data() + parameter.offset,
                                parameter.count);
    if (parameter.is_copy()) links->receive(exec, owner, name_of(number), values);
    if (!parameter.is_own) continue;
    for (const int stage : copies) links->send_in_place(exec, stage, name_of(number), values);
  }
}

}  // namespace polyphase
