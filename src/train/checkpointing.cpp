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

struct Storage {
  std::string prefix;
  HostValues values;
};

std::vector<Storage> storages(const ParameterSet& parameters, const AdamWOptimizer& optimizer) {
  std::vector<Storage> all;
  all.push_back({"parameters/", HostValues(parameters.values())});
  for (const auto& state : optimizer.state()) {
    all.push_back({fmt::format("optimizer/{}/", state.name), HostValues(state.values)});
  }
  return all;
}

void read_parameter(CheckpointReader& reader, const std::string& prefix, const Parameter& parameter,
                    float* values) {
  const ParameterSpec& spec = parameter.spec;
  reader.read(prefix + spec.name, spec.split_dimension,
              spec.split_dimension < 0 ? 0 : spec.split.begin, parameter.local_shape,
              values + parameter.offset);
}

}  // namespace

void load_checkpoint(const std::filesystem::path& folder, ParameterSet& parameters,
                     const AdamWOptimizer& optimizer) {
  CheckpointReader reader(folder);
  for (Storage& storage : storages(parameters, optimizer)) {
    storage.values.fetch();  // the gaps between parameters
    for (const Parameter& parameter : parameters.all()) {
      read_parameter(reader, storage.prefix, parameter, storage.values.data());
    }
    storage.values.store();
  }
}

HandOver take_over(const std::filesystem::path& folder, ParameterSet& parameters) {
  CheckpointReader reader(folder);
  HandOver result;
  HostValues values(parameters.values());
  values.fetch();
  for (const Parameter& parameter : parameters.all()) {
    const auto found = reader.tensors().find("parameters/" + parameter.spec.name);
    if (found != reader.tensors().end() && found->second == parameter.spec.global_shape) {
      read_parameter(reader, "parameters/", parameter, values.data());
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

}  // namespace polyphase
