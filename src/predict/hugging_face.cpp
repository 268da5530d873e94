// SPDX-License-Identifier: Apache-2.0
#include "predict/hugging_face.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "predict/hugging_face_names.hpp"
#include "text/tokenizer.hpp"

namespace polyphase {

void HuggingFaceNames::add(const std::string& name, const std::vector<std::string>& parts,
                           bool transposed) {
  for (const std::string& part : parts) {
    if (has(part)) continue;
    fail<DataError>("the checkpoint lacks {}, which {} is made of; it is not of this recipe", part,
                    name);
  }
  taken_.insert(parts.begin(), parts.end());
  tensors_.push_back({.name = name, .parts = parts, .transposed = transposed, .zeros = {}});
}

void HuggingFaceNames::add_zeros(const std::string& name, const std::vector<std::int64_t>& shape) {
  tensors_.push_back({.name = name, .parts = {}, .zeros = shape});
}

void HuggingFaceNames::product(const std::string& name, const std::string& ours) {
  add(name + ".weight", {ours + ".weight"});
  if (has(ours + ".bias")) add(name + ".bias", {ours + ".bias"});
}

void HuggingFaceNames::norm(const std::string& name, const std::string& ours) {
  add(name + ".weight", {ours + ".gain"});
  if (has(ours + ".shift")) add(name + ".bias", {ours + ".shift"});
}

HuggingFaceModel HuggingFaceNames::finish(nlohmann::json config) && {
  HuggingFaceModel result = {std::move(config), std::move(tensors_), {}};
  for (const std::string& parameter : here_) {
    if (taken_.contains(parameter)) continue;
    result.tensors.push_back({.name = parameter, .parts = {parameter}, .zeros = {}});
    result.unknown.push_back(parameter);
  }
  return result;
}

void ClassDemands::check() const {
  if (missed_.empty()) return;
  fail<RecipeError>(
      "no class of the transformers library computes this model: {} has {}; HDF5 tools read the "
      "parameters (model.h5 of a checkpoint)",
      of_, fmt::join(missed_, ", "));
}

nlohmann::json common_config() {
  return {{"pad_token_id", text::kPadId},
          {"bos_token_id", text::kClsId},
          {"eos_token_id", text::kSepId},
          {"torch_dtype", "float32"}};
}

HuggingFaceModel hugging_face_model(const recipe::Model& model, const recipe::Phase& phase,
                                    const std::vector<std::string>& parameters,
                                    std::int64_t num_tokens,
                                    const std::vector<std::string>& label_names) {
  HuggingFaceNames names(parameters);
  switch (model.family) {
    case recipe::Family::kBert:
      return bert_model(model, std::move(names), num_tokens, label_names);
    case recipe::Family::kGpt:
      return gpt_model(model, std::move(names), num_tokens);
    case recipe::Family::kT5:
      return t5_model(model, phase, std::move(names), num_tokens);
  }
  return {};
}

}  // namespace polyphase
