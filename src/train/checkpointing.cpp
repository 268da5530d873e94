// SPDX-License-Identifier: Apache-2.0
#include "train/checkpointing.hpp"

#include <algorithm>

#include "io/checkpoint.hpp"

namespace polyphase {
namespace {

// Host memory of a part of a flat storage: the storage itself on the host build, a copy on a
// device's.
class HostValues {
 public:
  explicit HostValues(Tensor1<float> device)
      : device_(device), host_(Kokkos::create_mirror_view(device)) {}
  void fetch() { Kokkos::deep_copy(host_, device_); }
  void store() { Kokkos::deep_copy(device_, host_); }
  float* data() { return host_.data(); }

 private:
  Tensor1<float> device_;
  Tensor1<float>::HostMirror host_;
};

void read_parameter(CheckpointReader& reader, const std::string& group, const Parameter& parameter,
                    float* values) {
  const ParameterSpec& spec = parameter.spec;
  reader.read(group + spec.name, spec.split_dimension,
              spec.split_dimension < 0 ? 0 : spec.split.begin, parameter.local_shape,
              values + parameter.offset);
}

void read_state(CheckpointReader& reader, const std::string& name, const StateTensor& tensor) {
  HostValues values(tensor.values);
  reader.read(name, tensor.split_dimension, tensor.begin, tensor.local_shape, values.data());
  values.store();
}

}  // namespace

void load_checkpoint(const std::filesystem::path& folder, ParameterSet& parameters,
                     const Optimizer& optimizer, WeightAverage* average) {
  CheckpointReader reader(folder);
  HostValues values(parameters.values());
  values.fetch();  // the gaps between parameters
  for (const Parameter& parameter : parameters.all()) {
    read_parameter(reader, "parameters/", parameter, values.data());
  }
  values.store();
  for (const StateTensor& tensor : optimizer.state())
    read_state(reader, "optimizer/" + tensor.name, tensor);
  if (average == nullptr) return;
  average->start(parameters);
  for (const StateTensor& tensor : average->tensors()) read_state(reader, tensor.name, tensor);
}

HandOver take_over(const std::filesystem::path& folder, ParameterSet& parameters) {
  CheckpointReader reader(folder);
  HandOver result;
  HostValues values(parameters.values());
  values.fetch();
  for (const Parameter& parameter : parameters.all()) {
    const auto found = reader.tensors().find("parameters/" + parameter.spec.name);
    if (found != reader.tensors().end() && found->second == parameter.spec.global_shape) {
      const bool averaged = reader.tensors().contains("average/" + parameter.spec.name);
      read_parameter(reader, averaged ? "average/" : "parameters/", parameter, values.data());
      result.carried.push_back(parameter.spec.name);
    } else {
      result.fresh.push_back(parameter.spec.name);
    }
  }
  values.store();
  for (const auto& [name, shape] : reader.tensors()) {
    if (!name.starts_with("parameters/")) continue;
    const std::string parameter = name.substr(std::string("parameters/").size());
    if (std::find(result.carried.begin(), result.carried.end(), parameter) ==
        result.carried.end()) {
      result.left.push_back(parameter);
    }
  }
  return result;
}

std::vector<std::string> take_over_state(const std::filesystem::path& folder,
                                         const ParameterSet& parameters,
                                         const Optimizer& optimizer) {
  CheckpointReader reader(folder);
  std::map<std::size_t, bool> complete;  // by parameter
  for (const StateTensor& tensor : optimizer.state()) {
    const auto found = reader.tensors().find("optimizer/" + tensor.name);
    const bool same = found != reader.tensors().end() && found->second == tensor.global_shape;
    complete.emplace(tensor.parameter, true).first->second &= same;
  }
  for (const StateTensor& tensor : optimizer.state()) {
    if (complete.at(tensor.parameter)) read_state(reader, "optimizer/" + tensor.name, tensor);
  }
  std::vector<std::string> kept;
  for (const auto& [number, whole] : complete) {
    if (whole) kept.push_back(parameters.at(number).spec.name);
  }
  return kept;
}

}  // namespace polyphase
