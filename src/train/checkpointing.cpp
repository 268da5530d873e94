// SPDX-License-Identifier: Apache-2.0
#include "train/checkpointing.hpp"

#include <algorithm>
#include <optional>
#include <set>

#include "io/checkpoint.hpp"
#include "kernels/elementwise.hpp"
#include "model/layer_name.hpp"
#include "recipe/load.hpp"

namespace polyphase {
namespace {

constexpr const char* kParameters = "parameters/";

// This rank's part of a tensor that a parameter is filled with; nothing of a parameter that is
// elsewhere. `name`: of the tensor, with its group.
std::vector<float> read_values(CheckpointReader& reader, const std::string& name,
                               const Parameter& parameter) {
  if (!parameter.is_here()) return {};
  std::vector<float> values(static_cast<std::size_t>(parameter.count));
  const ParameterSpec& spec = parameter.spec;
  reader.read(name, spec.split_dimension, spec.split_dimension < 0 ? 0 : spec.split.begin,
              parameter.local_shape, values.data());
  return values;
}

void store(const ParameterSet& parameters, const Parameter& parameter,
           const std::vector<float>& values) {
  copy_to_device(Exec{},
                 Tensor1<float>(parameters.values().data() + parameter.offset, values.size()),
                 values.data());
}

// Nothing is read of what other data ranks have.
void read_state(CheckpointReader& reader, const std::string& name, const StateTensor& tensor) {
  if (!tensor.is_here) return;
  std::vector<float> values(static_cast<std::size_t>(tensor.count));
  reader.read(name, tensor.split_dimension, tensor.begin, tensor.local_shape, values.data());
  copy_state_from_host(tensor, values.data());
}

// Stores this rank's part of a whole tensor.
void store_part(const StateTensor& tensor, const std::vector<float>& whole) {
  if (!tensor.is_here) return;
  const auto split = static_cast<std::size_t>(std::max(tensor.split_dimension, 0));
  std::int64_t num_outer = 1, inner = 1;
  for (std::size_t d = 0; d < split; ++d) num_outer *= tensor.global_shape[d];
  for (std::size_t d = split + 1; d < tensor.global_shape.size(); ++d)
    inner *= tensor.global_shape[d];
  const std::int64_t stride = tensor.global_shape[split] * inner,
                     count = tensor.local_shape[split] * inner;
  std::vector<float> values(static_cast<std::size_t>(tensor.count));
  for (std::int64_t outer = 0; outer < num_outer; ++outer) {
    std::copy_n(whole.begin() + outer * stride + tensor.begin * inner, count,
                values.begin() + outer * count);
  }
  copy_state_from_host(tensor, values.data());
}

// What a checkpoint keeps of a parameter, whole.
WholeState read_whole_state(CheckpointReader& reader, const std::string& parameter) {
  WholeState state;
  for (const std::string& name : state_names()) {
    const auto found = reader.tensors().find("optimizer/" + name + "/" + parameter);
    if (found == reader.tensors().end()) continue;
    std::int64_t count = 1;
    for (const std::int64_t extent : found->second) count *= extent;
    std::vector<float>& values = state[name];
    values.resize(static_cast<std::size_t>(count));
    reader.read(found->first, -1, 0, found->second, values.data());
  }
  return state;
}

// A state's name is its kind, '/', and the parameter's name.
std::string kind_of(const StateTensor& tensor) {
  return tensor.name.substr(0, tensor.name.find('/'));
}

// The tensor that is a parameter's result: its average where there is one.
std::string result_name(const CheckpointReader& reader, const std::string& parameter) {
  const std::string average = "average/" + parameter;
  return reader.tensors().contains(average) ? average : kParameters + parameter;
}

// Adds scale · b · a to a weight's part on this rank, if the checkpoint has such a pair.
bool merge_adapter(CheckpointReader& reader, const Parameter& parameter, const std::string& name,
                   double scale, float* values) {
  const ParameterSpec& spec = parameter.spec;
  const auto a = reader.tensors().find(result_name(reader, adapter_a(name)));
  const auto b = reader.tensors().find(result_name(reader, adapter_b(name)));
  if (a == reader.tensors().end() || b == reader.tensors().end()) return false;
  if (!parameter.is_here()) return true;
  const std::int64_t rank = a->second[0];
  const std::int64_t rows = parameter.local_shape[0], columns = parameter.local_shape[1];
  std::vector<float> a_RI(static_cast<std::size_t>(rank * columns));
  std::vector<float> b_OR(static_cast<std::size_t>(rows * rank));
  const bool rows_split = spec.split_dimension == 0, columns_split = spec.split_dimension == 1;
  reader.read(a->first, columns_split ? 1 : -1, columns_split ? spec.split.begin : 0,
              {rank, columns}, a_RI.data());
  reader.read(b->first, rows_split ? 0 : -1, rows_split ? spec.split.begin : 0, {rows, rank},
              b_OR.data());
  std::vector<double> sum(static_cast<std::size_t>(columns));
  for (std::int64_t row = 0; row < rows; ++row) {
    std::fill(sum.begin(), sum.end(), 0.0);
    for (std::int64_t r = 0; r < rank; ++r) {
      const double factor = scale * b_OR[row * rank + r];
      for (std::int64_t c = 0; c < columns; ++c) sum[c] += factor * a_RI[r * columns + c];
    }
    float* weight = values + row * columns;
    for (std::int64_t c = 0; c < columns; ++c) weight[c] = static_cast<float>(weight[c] + sum[c]);
  }
  return true;
}

// The name that a parameter's values have in a checkpoint; zero: they are not taken.
struct SourceName {
  std::string name;
  bool zero = false;
};

// Which layer of a checkpoint fills which layer of a model.
class LayerMap {
 public:
  LayerMap(const CheckpointReader& reader, const ParameterSet& parameters, recipe::Growth growth)
      : growth_(growth) {
    if (growth == recipe::Growth::kNone) return;
    for (const auto& [name, shape] : reader.tensors()) {
      if (name.starts_with(kParameters))
        count(name.substr(std::string(kParameters).size()), there_);
    }
    for (const Parameter& parameter : parameters.all()) count(parameter.spec.name, here_);
  }

  SourceName source_of(const std::string& name) const {
    std::optional<LayerName> layer = layer_name(name);
    if (!layer || growth_ == recipe::Growth::kNone) return {name};
    const auto there = there_.find(layer->stack);
    const std::int64_t n = here_.at(layer->stack);
    if (there == there_.end() || there->second == n) return {name};
    const bool above = layer->number >= there->second;
    const bool zero = growth_ == recipe::Growth::kIdentity && above && layer->writes_to_residual();
    layer->number = recipe::layer_source(growth_, layer->number, there->second, n);
    return {layer->text(), zero};
  }

 private:
  using Counts = std::map<std::string, std::int64_t>;  // of layers, by stack
  static void count(const std::string& name, Counts& counts) {
    if (const std::optional<LayerName> layer = layer_name(name))
      counts[layer->stack] = std::max(counts[layer->stack], layer->number + 1);
  }

  recipe::Growth growth_;
  Counts there_, here_;
};

}  // namespace

void load_checkpoint(const std::filesystem::path& folder, ParameterSet& parameters,
                     const Optimizer& optimizer, WeightAverage* average) {
  CheckpointReader reader(folder);
  for (const Parameter& parameter : parameters.all())
    store(parameters, parameter, read_values(reader, kParameters + parameter.spec.name, parameter));
  for (const StateTensor& tensor : optimizer.state())
    read_state(reader, "optimizer/" + tensor.name, tensor);
  if (average == nullptr) return;
  average->start(parameters);
  for (const StateTensor& tensor : average->tensors()) read_state(reader, tensor.name, tensor);
}

HandOver take_over(const std::filesystem::path& folder, ParameterSet& parameters,
                   const HandOverRules& rules) {
  CheckpointReader reader(folder);
  const LayerMap layers(reader, parameters, rules.growth);
  HandOver result;
  std::set<std::string> used;
  for (const Parameter& parameter : parameters.all()) {
    const std::string& name = parameter.spec.name;
    const SourceName source = layers.source_of(name);
    const auto found = reader.tensors().find("parameters/" + source.name);
    const bool left_out = rules.adapter_scale > 0 && is_adapter(name);
    if (left_out || found == reader.tensors().end() ||
        found->second != parameter.spec.global_shape) {
      result.fresh.push_back(name);
    } else if (source.zero) {
      store(parameters, parameter, std::vector<float>(static_cast<std::size_t>(parameter.count)));
      result.zeroed.push_back(name);
    } else {
      std::vector<float> values = read_values(reader, result_name(reader, source.name), parameter);
      if (rules.adapter_scale > 0 &&
          merge_adapter(reader, parameter, source.name, rules.adapter_scale, values.data()))
        result.merged.push_back(name);
      store(parameters, parameter, values);
      used.insert(source.name);
      if (source.name == name) result.carried.push_back(name);
      if (source.name != name) result.copied[name] = source.name;
    }
  }
  for (const std::string& name : parameters_of(folder)) {
    const bool merged = rules.adapter_scale > 0 && is_adapter(name);
    if (!merged && !used.contains(name)) result.left.push_back(name);
  }
  return result;
}

std::map<std::string, std::string> take_over_state(const std::filesystem::path& folder,
                                                   const ParameterSet& parameters,
                                                   const Optimizer& optimizer,
                                                   const HandOverRules& rules) {
  CheckpointReader reader(folder);
  const LayerMap layers(reader, parameters, rules.growth);
  const auto source_of = [&](const StateTensor& tensor) {
    return layers.source_of(parameters.at(tensor.parameter).spec.name);
  };
  const auto stored_name = [&](const StateTensor& tensor) {
    return "optimizer/" + kind_of(tensor) + "/" + source_of(tensor).name;
  };
  std::map<std::size_t, bool> complete;  // by parameter
  for (const StateTensor& tensor : optimizer.state()) {
    const auto found = reader.tensors().find(stored_name(tensor));
    const bool anew =
        source_of(tensor).zero ||
        (rules.adapter_scale > 0 && is_adapter(parameters.at(tensor.parameter).spec.name));
    const bool same =
        !anew && found != reader.tensors().end() && found->second == tensor.global_shape;
    complete.emplace(tensor.parameter, true).first->second &= same;
  }
  std::map<std::string, std::string> kept;
  for (const StateTensor& tensor : optimizer.state()) {
    if (!complete.at(tensor.parameter)) continue;
    read_state(reader, stored_name(tensor), tensor);
    kept[parameters.at(tensor.parameter).spec.name] = source_of(tensor).name;
  }
  return kept;
}

void take_over_state(const std::filesystem::path& folder, const ParameterSet& parameters,
                     const Optimizer& optimizer, const HandOverRules& rules,
                     const std::function<WholeState(const StoredState&)>& convert) {
  CheckpointReader reader(folder);
  const LayerMap layers(reader, parameters, rules.growth);
  std::map<std::size_t, std::vector<const StateTensor*>> of_parameter;
  for (const StateTensor& tensor : optimizer.state())
    of_parameter[tensor.parameter].push_back(&tensor);
  for (const auto& [number, tensors] : of_parameter) {
    const Parameter& parameter = parameters.at(number);
    const SourceName source = layers.source_of(parameter.spec.name);
    StoredState stored = {.parameter = parameter, .source = source.name};
    for (const StateTensor* tensor : tensors) {
      const std::string kind = kind_of(*tensor);
      if (std::find(stored.wanted.begin(), stored.wanted.end(), kind) == stored.wanted.end())
        stored.wanted.push_back(kind);
    }
    const auto found = reader.tensors().find(kParameters + source.name);
    const bool anew = source.zero || (rules.adapter_scale > 0 && is_adapter(parameter.spec.name)) ||
                      found == reader.tensors().end() ||
                      found->second != parameter.spec.global_shape;
    if (!anew) stored.tensors = read_whole_state(reader, source.name);
    const WholeState made = convert(stored);
    for (const StateTensor* tensor : tensors) {
      const auto values = made.find(kind_of(*tensor));
      if (values != made.end()) store_part(*tensor, values->second);
    }
  }
}

std::vector<std::string> parameters_of(const std::filesystem::path& folder) {
  const CheckpointReader reader(folder);
  std::vector<std::string> names;
  for (const auto& [name, shape] : reader.tensors()) {
    if (name.starts_with(kParameters))
      names.push_back(name.substr(std::string(kParameters).size()));
  }
  return names;
}

std::vector<float> read_result(CheckpointReader& reader, const std::string& parameter,
                               double adapter_scale) {
  const std::string name = result_name(reader, parameter);
  Parameter whole;
  whole.spec.name = parameter;
  whole.local_shape = reader.tensors().at(name);
  std::vector<float> values(static_cast<std::size_t>(num_elements(whole.local_shape)));
  reader.read(name, -1, 0, whole.local_shape, values.data());
  if (adapter_scale > 0) merge_adapter(reader, whole, parameter, adapter_scale, values.data());
  return values;
}

}  // namespace polyphase
