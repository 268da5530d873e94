// SPDX-License-Identifier: Apache-2.0
#include "objective/ngram_bag.hpp"

#include <algorithm>
#include <limits>

#include "kernels/elementwise.hpp"
#include "kernels/embedding.hpp"

namespace polyphase {
namespace {

// The finaliser of MurmurHash3 (Appleby, public domain): every bit of the result depends on every
// bit of x.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

// The sequence of each n-gram.
std::vector<std::int32_t> owners(const std::vector<std::int32_t>& starts) {
  std::vector<std::int32_t> owners_M;
  for (std::size_t b = 0; b + 1 < starts.size(); ++b)
    owners_M.insert(owners_M.end(), starts[b + 1] - starts[b], static_cast<std::int32_t>(b));
  return owners_M;
}

// The values in the front of an array of so many: how much of the arena they take does not depend
// on how many there are.
Tensor1<const std::int32_t> upload_in(const Exec& exec, std::vector<std::int32_t> values,
                                      std::size_t size) {
  const std::size_t count = values.size();
  values.resize(size);
  return Tensor1<const std::int32_t>(upload(exec, values).data(), count);
}

}  // namespace

NgramBags ngram_bags(const Batch& batch, const recipe::Ngrams& ngrams) {
  NgramBags bags = {.buckets_M = {}, .starts = {0}};
  for (std::int64_t b = 0; b < batch.num_sequences(); ++b) {
    for (std::int32_t last = batch.starts[b]; last < batch.starts[b + 1]; ++last) {
      std::uint64_t hash = 0;
      const std::int64_t longest = std::min<std::int64_t>(ngrams.order, last - batch.starts[b] + 1);
      for (std::int64_t n = 0; n < longest; ++n) {
        // Ids count from 1, so that no n-gram looks like one with zeros behind it.
        hash = mix(hash + static_cast<std::uint64_t>(batch.tokens_N[last - n]) + 1);
        bags.buckets_M.push_back(static_cast<std::int32_t>(hash % ngrams.buckets));
      }
    }
    POLYPHASE_PROMISE(bags.buckets_M.size() <= std::numeric_limits<std::int32_t>::max(),
                      "the batch has {} n-grams", bags.buckets_M.size());
    bags.starts.push_back(static_cast<std::int32_t>(bags.buckets_M.size()));
  }
  return bags;
}

NgramBag::NgramBag(ParameterSet& parameters, const std::string& name, std::int64_t num_outputs,
                   const std::optional<recipe::Ngrams>& ngrams)
    : parameters_(parameters), ngrams_(ngrams.value_or(recipe::Ngrams())) {
  if (!ngrams) return;
  table_ = parameters.declare({.name = name + ".ngrams",
                               .global_shape = {ngrams_.buckets, num_outputs},
                               .initial = Initial::kZero});
}

void NgramBag::forward(const Pass& pass, Tensor2<float> y_BK) const {
  if (!table_) return;
  const NgramBags bags = ngram_bags(pass.batch, ngrams_);
  embedding_bag_forward(pass.exec, y_BK, upload(pass.exec, bags.buckets_M),
                        upload(pass.exec, bags.starts), parameters_.value2(*table_));
}

void NgramBag::backward(const Pass& pass, Tensor2<const float> dy_BK) const {
  if (!table_) return;
  if (!parameters_.any_trained(*table_, 1)) return parameters_.skip_gradients(*table_, 1);
  if (parameters_.gradient_write(*table_) == Write::kOverwrite)
    fill(pass.exec, parameters_.gradient1(*table_), 0.0F);
  const NgramBags bags = ngram_bags(pass.batch, ngrams_);
  const std::vector<std::int32_t> owners_M = owners(bags.starts);
  RowGroups groups = group_rows(bags.buckets_M);
  for (std::int32_t& row : groups.rows_N) row = owners_M[row];
  const std::size_t most =
      std::min(bags.buckets_M.size(), static_cast<std::size_t>(ngrams_.buckets));
  embedding_backward(pass.exec, parameters_.gradient2(*table_), dy_BK,
                     {.rows_N = upload(pass.exec, groups.rows_N),
                      .ids_U = upload_in(pass.exec, groups.ids_U, most),
                      .starts_U = upload_in(pass.exec, groups.starts_U, most + 1)},
                     0);
}

}  // namespace polyphase
