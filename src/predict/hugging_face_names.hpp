// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <vector>

#include "predict/hugging_face.hpp"

// What the families' files (hugging_face_FAMILY.cpp) build their models of.
namespace polyphase {

// Names of a class' tensors for our parameters. DataError where the checkpoint lacks one.
class HuggingFaceNames {
 public:
  explicit HuggingFaceNames(const std::vector<std::string>& parameters)
      : here_(parameters.begin(), parameters.end()) {}

  bool has(const std::string& parameter) const { return here_.contains(parameter); }
  void add(const std::string& name, const std::vector<std::string>& parts, bool transposed = false);
  void add_zeros(const std::string& name, const std::vector<std::int64_t>& shape);
  // Weight of a product, and its bias where it has one.
  void product(const std::string& name, const std::string& ours);
  void norm(const std::string& name, const std::string& ours);

  HuggingFaceModel finish(nlohmann::json config) &&;

 private:
  std::set<std::string> here_, taken_;
  std::vector<NamedTensor> tensors_;
};

// What a class asks of the section `model`.
class ClassDemands {
 public:
  explicit ClassDemands(std::string of) : of_(std::move(of)) {}
  // `key`: the line of the recipe that would do.
  void need(bool holds, const char* key) {
    if (!holds) missed_.emplace_back(key);
  }
  void check() const;  // RecipeError for all that was missed

 private:
  std::string of_;
  std::vector<std::string> missed_;
};

// Keys of a config.json that all classes have.
nlohmann::json common_config();

HuggingFaceModel bert_model(const recipe::Model& model, HuggingFaceNames names,
                            std::int64_t num_tokens, const std::vector<std::string>& label_names);
HuggingFaceModel gpt_model(const recipe::Model& model, HuggingFaceNames names,
                           std::int64_t num_tokens);
HuggingFaceModel t5_model(const recipe::Model& model, const recipe::Phase& phase,
                          HuggingFaceNames names, std::int64_t num_tokens);

}  // namespace polyphase
