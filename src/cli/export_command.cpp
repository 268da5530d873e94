// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "base/log.hpp"
#include "cli/commands.hpp"
#include "corpus/prepare_tokenizer.hpp"
#include "io/checkpoint.hpp"
#include "io/file.hpp"
#include "io/safetensors.hpp"
#include "predict/hugging_face.hpp"
#include "predict/trained_phase.hpp"
#include "recipe/load.hpp"
#include "train/checkpointing.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;

// [a, b] row-major as [b, a].
std::vector<float> transposed(const std::vector<float>& values, std::int64_t rows) {
  const auto columns = static_cast<std::int64_t>(values.size()) / rows;
  std::vector<float> result(values.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) result[c * rows + r] = values[r * columns + c];
  }
  return result;
}

// A checkpoint's parameters as a phase hands them over: with averages and low-rank additions.
class HandedOver {
 public:
  HandedOver(const fs::path& checkpoint, double adapter_scale)
      : reader_(checkpoint), checkpoint_(checkpoint.string()), adapter_scale_(adapter_scale) {
    const std::string group = "parameters/";
    for (const auto& [name, shape] : reader_.tensors()) {
      if (!name.starts_with(group)) continue;
      const std::string parameter = name.substr(group.size());
      if (adapter_scale == 0 || !is_adapter(parameter)) shapes_[parameter] = shape;
    }
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, shape] : shapes_) names.push_back(name);
    return names;
  }
  std::string digest() const { return reader_.digest(); }
  // What it says of the data that it was trained on.
  nlohmann::json data() const { return reader_.state().value("data", nlohmann::json::object()); }
  const std::vector<std::int64_t>& shape(const std::string& name) const {
    const auto found = shapes_.find(name);
    if (found == shapes_.end()) fail<DataError>("{}: has no {}", checkpoint_, name);
    return found->second;
  }

  SafeTensor tensor(const NamedTensor& named) {
    if (named.parts.empty()) {
      const auto count = static_cast<std::size_t>(num_elements(named.zeros));
      return {named.name, named.zeros, [count] { return std::vector<float>(count); }};
    }
    std::vector<std::int64_t> shape = this->shape(named.parts.front());
    for (std::size_t i = 1; i < named.parts.size(); ++i) shape[0] += this->shape(named.parts[i])[0];
    const std::int64_t rows = shape[0];
    if (named.transposed) std::swap(shape[0], shape[1]);
    return {named.name, shape, [this, named, rows] {
              std::vector<float> values;
              for (const std::string& part : named.parts) {
                const std::vector<float> more = read_result(reader_, part, adapter_scale_);
                values.insert(values.end(), more.begin(), more.end());
              }
              return named.transposed ? transposed(values, rows) : values;
            }};
  }

 private:
  CheckpointReader reader_;
  std::string checkpoint_;
  double adapter_scale_;
  std::map<std::string, std::vector<std::int64_t>> shapes_;
};

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  const bool is_empty = !error && fs::is_empty(folder, error);
  if (error) {
    fail<SystemError>("--output {}: cannot make it: {}; name another folder", folder.string(),
                      error.message());
  }
  if (!is_empty)
    fail<RecipeError>("--output {}: something is there already; name another folder, or remove it",
                      folder.string());
}

// The tokenizer that the phase was trained with.
std::string tokenizer_of(const fs::path& data_dir, const nlohmann::json& data,
                         const std::string& checkpoint) {
  if (prepare::load_tokenizer(data_dir).digest() == data.value("tokenizer", "")) {
    return read_file(prepare::tokenizer_path(data_dir));
  }
  fail<RecipeError>(
      "{}: the tokenizer in {} changed since this checkpoint was written; bring the prepared data "
      "back as it was, or train anew",
      checkpoint, data_dir.string());
}

}  // namespace

ExitCode export_command(const ExportOptions& options) {
  const FoundPhase found =
      find_trained_phase({.run = options.run, .phase = options.phase, .round = options.round});
  const recipe::Recipe recipe =
      recipe::parse(found.recipe, (fs::path(options.run) / "recipe.yaml").string());
  const recipe::Phase* phase = recipe::find_phase(recipe, found.phase);
  if (phase == nullptr) {
    fail<DataError>("{}: its status.json has a phase {} that its recipe has not", options.run,
                    found.phase);
  }
  const std::optional<recipe::Lora>& lora = phase->adaptation.lora;
  HandedOver parameters(found.checkpoint,
                        lora ? lora->alpha / static_cast<double>(lora->rank) : 0.0);
  const nlohmann::json data = parameters.data();
  const std::string tokenizer =
      tokenizer_of(fs::path(options.run) / "data", data, found.checkpoint);
  const HuggingFaceModel model =
      hugging_face_model(recipe::model_of(recipe, *phase), *phase, parameters.names(),
                         parameters.shape("embedding.token.weight")[0],
                         data.value("label_names", std::vector<std::string>()));
  const fs::path folder = options.output;
  make_folder(folder);
  std::vector<SafeTensor> tensors;
  for (const NamedTensor& named : model.tensors) tensors.push_back(parameters.tensor(named));
  write_safetensors(folder / "model.safetensors", tensors,
                    {{"format", "pt"}, {"checkpoint", parameters.digest()}});
  write_file_atomically(folder / "tokenizer.model", tokenizer);
  // Last: without it the folder is no model.
  write_file_atomically(folder / "config.json", model.config.dump(2) + "\n");
  for (const std::string& name : model.unknown)
    log_info("{} is in the file under this name: no class has it", name);
  fmt::print("{}: {} of phase {}, {} tensors\n", folder.string(),
             model.config["architectures"][0].get<std::string>(), phase->name, tensors.size());
  return ExitCode::kDone;
}

}  // namespace polyphase
