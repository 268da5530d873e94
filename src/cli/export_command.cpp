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

// A checkpoint's parameters as a phase hands them over.
class Results {
 public:
  Results(const fs::path& checkpoint, double adapter_scale)
      : reader_(checkpoint), adapter_scale_(adapter_scale) {
    for (const std::string& name : parameters_of(checkpoint)) {
      if (adapter_scale_ == 0 || !is_adapter(name)) names_.push_back(name);
    }
  }
  const std::vector<std::string>& names() const { return names_; }
  const nlohmann::json& state() const { return reader_.state(); }
  const std::vector<std::int64_t>& shape(const std::string& name) const {
    return reader_.tensors().at("parameters/" + name);
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
  double adapter_scale_;
  std::vector<std::string> names_;
};

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail<SystemError>("cannot make {}: {}", folder.string(), error.message());
  if (fs::exists(folder / "config.json"))
    fail<RecipeError>("--output {}: a model is there already; name another folder",
                      folder.string());
}

}  // namespace

ExitCode export_command(const ExportOptions& options) {
  const FoundPhase found =
      find_trained_phase({.run = options.run, .phase = options.phase, .round = options.round});
  const recipe::Recipe recipe =
      recipe::parse(found.recipe, (fs::path(options.run) / "recipe.yaml").string());
  const recipe::Phase& phase = *recipe::find_phase(recipe, found.phase);
  const std::optional<recipe::Lora>& lora = phase.adaptation.lora;
  Results results(found.checkpoint, lora ? lora->alpha / static_cast<double>(lora->rank) : 0.0);
  const auto labels = results.state().at("data").value("label_names", std::vector<std::string>());
  const HuggingFaceModel model =
      hugging_face_model(recipe::model_of(recipe, phase), phase, results.names(),
                         results.shape("embedding.token.weight")[0], labels);
  const fs::path folder = options.output;
  make_folder(folder);
  std::vector<SafeTensor> tensors;
  for (const NamedTensor& named : model.tensors) tensors.push_back(results.tensor(named));
  write_safetensors(
      folder / "model.safetensors", tensors,
      {{"format", "pt"}, {"checkpoint", CheckpointReader(found.checkpoint).digest()}});
  const fs::path tokenizer = prepare::tokenizer_path(fs::path(options.run) / "data");
  write_file_atomically(folder / "tokenizer.model", read_file(tokenizer));
  // Last: without it the folder is no model.
  write_file_atomically(folder / "config.json", model.config.dump(2) + "\n");
  for (const std::string& name : model.unknown)
    log_info("{} is in the file under this name: no class has it", name);
  fmt::print("{}: {} of phase {}, {} tensors\n", folder.string(),
             model.config["architectures"][0].get<std::string>(), phase.name, tensors.size());
  return ExitCode::kDone;
}

}  // namespace polyphase
