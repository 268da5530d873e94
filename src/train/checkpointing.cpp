// SPDX-License-Identifier: Apache-2.0
#include "train/checkpointing.hpp"

#include <algorithm>

#include "comm/agreement.hpp"
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

// Whether this rank writes a parameter: of the data-parallel copies one each, of unsplit ones the
// first tensor rank.
bool writes(const Parameter& parameter, std::size_t number, const RankGrid& grid) {
  const bool my_turn = static_cast<int>(number) % grid.data.size() == grid.data.rank();
  return my_turn && (parameter.spec.split_dimension >= 0 || grid.tensor.rank() == 0);
}

std::vector<TensorPart> parts_of(std::vector<Storage>& all, const ParameterSet& parameters,
                                 const RankGrid& grid) {
  std::vector<TensorPart> parts;
  for (Storage& storage : all) {
    storage.values.fetch();
    for (std::size_t number = 0; number < parameters.all().size(); ++number) {
      const Parameter& parameter = parameters.at(number);
      if (!writes(parameter, number, grid)) continue;
      parts.push_back({.name = storage.prefix + parameter.spec.name,
                       .global_shape = parameter.spec.global_shape,
                       .split_dimension = parameter.spec.split_dimension,
                       .begin = parameter.spec.split_dimension < 0 ? 0 : parameter.spec.split.begin,
                       .local_shape = parameter.local_shape,
                       .data = storage.values.data() + parameter.offset});
    }
  }
  return parts;
}

void read_parameter(CheckpointReader& reader, const std::string& prefix, const Parameter& parameter,
                    float* values) {
  const ParameterSpec& spec = parameter.spec;
  reader.read(prefix + spec.name, spec.split_dimension,
              spec.split_dimension < 0 ? 0 : spec.split.begin, parameter.local_shape,
              values + parameter.offset);
}

}  // namespace

void save_checkpoint(const std::filesystem::path& folder, std::int64_t step, int keep,
                     const nlohmann::json& state, const ParameterSet& parameters,
                     const AdamWOptimizer& optimizer, const Communicator& world,
                     const RankGrid& grid) {
  const std::filesystem::path final_folder = folder / checkpoint_name(step);
  const std::filesystem::path tmp_folder = final_folder.string() + ".tmp";
  std::string report;
  agree_on(world, [&] {
    std::vector<Storage> all = storages(parameters, optimizer);
    report =
        to_text(write_checkpoint_part(tmp_folder, world.rank(), parts_of(all, parameters, grid)));
  });
  const std::vector<std::string> reports = world.gather(report);
  agree_on(world, [&] {
    if (world.rank() != 0) return;
    std::vector<PartReport> written;
    for (const std::string& text : reports) written.push_back(part_report_from_text(text));
    commit_checkpoint(tmp_folder, final_folder, written, state);
    remove_old_checkpoints(folder, keep);
  });
}

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
