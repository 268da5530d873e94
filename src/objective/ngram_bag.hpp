// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "corpus/batch.hpp"
#include "model/parameters.hpp"
#include "model/pass.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// The n-grams of one sequence after another, for each of its tokens those of one to ngrams.order
// tokens that end there and begin in the sequence, each as the number of its bucket (Joulin et al.,
// 2017): n-grams that share a bucket, [0, ngrams.buckets), are one. Sequences without tokens have
// none.
struct NgramBags {
  std::vector<std::int32_t> buckets_M;
  std::vector<std::int32_t> starts;  // B + 1: of each sequence's
};
NgramBags ngram_bags(const Batch& batch, const recipe::Ngrams& ngrams);

// What the n-grams of a sequence's tokens add to the K outputs of its head, whatever the layers in
// front of the head made of them (the wide part of Cheng et al., 2016): the sum of their rows in
// NAME.ngrams, a table [buckets, K] that begins as zeros. Without n-grams there is none.
class NgramBag {
 public:
  NgramBag(ParameterSet& parameters, const std::string& name, std::int64_t num_outputs,
           const std::optional<recipe::Ngrams>& ngrams);

  // Adds to y_BK, a row for each of the batch's sequences.
  void forward(const Pass& pass, Tensor2<float> y_BK) const;
  // Writes the table's gradient, given that of the outputs.
  void backward(const Pass& pass, Tensor2<const float> dy_BK) const;

  explicit operator bool() const { return table_.has_value(); }

 private:
  ParameterSet& parameters_;
  recipe::Ngrams ngrams_;
  std::optional<std::size_t> table_;
};

}  // namespace polyphase
