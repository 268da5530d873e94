// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "corpus/prepare_plan.hpp"
#include "recipe/recipe.hpp"
#include "text/tokenizer.hpp"

namespace polyphase::prepare {

// Of the text that trains a tokenizer: bounds the trainer's memory to about 1.5 GiB.
inline constexpr std::int64_t kMaxTokenizerBytes = std::int64_t{64} << 20;

// DATA_DIR/tokenizer.model, and tokenizer.json: what the model was made from, written last.
std::filesystem::path tokenizer_path(const std::filesystem::path& data_dir);

// Makes both unless they are there and what they were made from has not changed. `trained` tells
// which.
text::Tokenizer make_tokenizer(const std::filesystem::path& data_dir, const recipe::Recipe& recipe,
                               const Plan& plan, std::int64_t max_sentences, bool& trained);

// Loads a finished one; throws DataError when model and tokenizer.json do not belong together.
text::Tokenizer load_tokenizer(const std::filesystem::path& data_dir);

// Throws RecipeError when a corpus is a raw text and the (given) tokenizer does not keep white
// space.
void require_white_space(const recipe::Recipe& recipe, const text::Tokenizer& tokenizer);

// Sentences of one training source in order: lines, texts, or tokens joined by blanks; no
// validation documents, and of a raw text no line ends.
std::function<bool(std::vector<std::string>&)> training_documents(const Plan& plan,
                                                                  std::size_t source);

}  // namespace polyphase::prepare
