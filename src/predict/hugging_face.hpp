// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "recipe/recipe.hpp"

namespace polyphase {

// A tensor by the name that the transformers library gives it.
struct NamedTensor {
  std::string name;
  std::vector<std::string> parts;  // our parameters, one below the other
  bool transposed = false;         // all of it, where theirs is [in, out]
  // In place of parts: zeros, for what their class has and our model does not.
  std::vector<std::int64_t> zeros;
};

// A model as a class of that library has it.
struct HuggingFaceModel {
  nlohmann::json config;             // its config.json
  std::vector<NamedTensor> tensors;  // first those that the class knows
  std::vector<std::string> unknown;  // of them, those under our own names: heads that no class has
};

// `phase` is trained; `parameters` are the names that its checkpoint has, `num_tokens` the rows of
// its token table. RecipeError where no class computes what the model does; it names every key of
// the recipe's section `model` that says so.
HuggingFaceModel hugging_face_model(const recipe::Model& model, const recipe::Phase& phase,
                                    const std::vector<std::string>& parameters,
                                    std::int64_t num_tokens,
                                    const std::vector<std::string>& label_names);

}  // namespace polyphase
