// SPDX-License-Identifier: Apache-2.0
#include "objective/masked_language_model.hpp"

#include <algorithm>

#include "kernels/activation.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/rows.hpp"

namespace polyphase {

template <class Real>
MaskedLanguageModel<Real>::MaskedLanguageModel(ParameterSet& parameters, const Communicator& tensor,
                                               const recipe::Model& model,
                                               const EmbeddingLayer& embedding,
                                               std::int64_t vocab_size, std::int64_t block_bytes)
    : parameters_(parameters),
      transform_(parameters, tensor, {"head.mlm.transform"},
                 {.in = model.width, .out = model.width}),
      norm_(parameters, "head.mlm.norm", model.width, model.norm_epsilon),
      table_(embedding.token_table()),
      vocabulary_(embedding.vocabulary()),
      width_(model.width),
      block_bytes_(block_bytes) {
  bias_ = parameters.declare({.name = "head.mlm.bias",
                              .global_shape = {vocab_size},
                              .split_dimension = 0,
                              .split = vocabulary_,
                              .initial = Initial::kZero,
                              .decays = false});
}

template <class Real>
std::int64_t MaskedLanguageModel<Real>::num_terms(const Batch& batch) const {
  return std::count_if(batch.target_labels_M.begin(), batch.target_labels_M.end(),
                       [](std::int32_t label) { return label >= 0; });
}

template <class Real>
auto MaskedLanguageModel<Real>::transform(const Pass& pass, Tensor2<const Real> hidden_NC)
    -> Transformed {
  const Exec& exec = pass.exec;
  Arena& arena = *exec.arena;
  const auto m = static_cast<std::int64_t>(pass.batch.target_rows_M.size());
  const Transformed t = {.rows_M = upload(exec, pass.batch.target_rows_M),
                         .x_MC = arena.take2<Real>(m, width_),
                         .y_MC = arena.take2<Real>(m, width_),
                         .hidden_MC = arena.take2<float>(m, width_)};
  const auto active_MC = arena.take2<float>(m, width_);
  gather_rows<Real>(exec, t.x_MC, hidden_NC, t.rows_M);
  transform_.template forward<Real, float>(pass, t.hidden_MC, t.x_MC);
  activation_forward<float>(exec, Activation::kGelu, active_MC, t.hidden_MC);
  norm_.forward(pass, t.y_MC, {}, {.residual_NC = active_MC});
  return t;
}

template <class Real>
void MaskedLanguageModel<Real>::transform_backward(const Pass& pass, const Transformed& t,
                                                   Tensor2<const float> dy_MC,
                                                   Tensor2<float> dhidden_NC) {
  const Exec& exec = pass.exec;
  Arena& arena = *exec.arena;
  const auto m = static_cast<std::int64_t>(t.x_MC.extent(0));
  const auto dactive_MC = arena.take2<float>(m, width_);
  const auto dtransformed_MC = arena.take2<Real>(m, width_);
  const auto dx_MC = arena.take2<float>(m, width_);
  norm_.backward(pass, {.dsum_NC = dactive_MC, .dy_NC = dy_MC}, NormPlace::kPre);
  activation_backward<float>(exec, Activation::kGelu, dactive_MC, {}, transform_.bias_gradient(),
                             transform_.bias_write(), dactive_MC, t.hidden_MC);
  convert<Real, float>(exec, flat(dtransformed_MC), flat(Tensor2<const float>(dactive_MC)));
  transform_.template backward_weight<Real>(pass, dtransformed_MC, t.x_MC);
  transform_.template backward_input<Real, float>(pass, dx_MC, dtransformed_MC);
  scatter_rows(exec, dhidden_NC, dx_MC, t.rows_M);
}

template <class Real>
auto MaskedLanguageModel<Real>::blocks(std::int64_t num_rows) const -> std::vector<Block> {
  const std::int64_t most =
      block_bytes_ / std::max<std::int64_t>(1, num_rows * std::int64_t{sizeof(float)});
  const std::int64_t count =
      (vocabulary_.size + std::max<std::int64_t>(1, most) - 1) / std::max<std::int64_t>(1, most);
  std::vector<Block> blocks;
  for (std::int64_t b = 0; b < count; ++b) {
    const Split part = split_evenly(vocabulary_.size, static_cast<int>(b), static_cast<int>(count));
    blocks.push_back({.first = part.begin, .size = part.size});
  }
  return blocks;
}

template <class Real>
void MaskedLanguageModel<Real>::block_logits(const Pass& pass, Tensor2<float> logits_MK,
                                             Tensor2<const Real> y_MC, const Block& block) const {
  const ArenaScope scope(*pass.exec.arena);
  const Tensor2<const float> table_KC = rows(parameters_.value2(table_), block.first, block.size);
  const Tensor1<const float> bias_K(parameters_.value1(bias_).data() + block.first, block.size);
  matmul<Real, float>(pass.exec, logits_MK, y_MC, Transpose::kNo,
                      in_precision<Real>(pass.exec, table_KC), Transpose::kYes, Write::kOverwrite,
                      bias_K);
}

template <class Real>
void MaskedLanguageModel<Real>::block_backward(const Pass& pass, Tensor2<float> dy_MC,
                                               Tensor2<const Real> dlogits_MK,
                                               Tensor2<const Real> y_MC, const Block& block,
                                               Write table_write, Write bias_write) const {
  const ArenaScope scope(*pass.exec.arena);
  const Exec& exec = pass.exec;
  const Tensor2<const float> table_KC = rows(parameters_.value2(table_), block.first, block.size);
  const Tensor2<float> dtable_KC = rows(parameters_.gradient2(table_), block.first, block.size);
  const Tensor1<float> dbias_K(parameters_.gradient1(bias_).data() + block.first, block.size);
  column_sum<Real>(exec, dbias_K, bias_write, dlogits_MK);
  matmul<Real, float>(exec, dtable_KC, dlogits_MK, Transpose::kYes, y_MC, Transpose::kNo,
                      table_write);
  matmul<Real, float>(exec, dy_MC, dlogits_MK, Transpose::kNo, in_precision<Real>(exec, table_KC),
                      Transpose::kNo, block.first == 0 ? Write::kOverwrite : Write::kAccumulate);
}

template <class Real>
Tally MaskedLanguageModel<Real>::run(const Pass& pass, Tensor2<const Real> hidden_NC,
                                     Tensor2<float> dhidden_NC, float gradient_scale) {
  const Exec& exec = pass.exec;
  Arena& arena = *exec.arena;
  const ArenaScope scope(arena);
  const Transformed t = transform(pass, hidden_NC);
  const auto m = static_cast<std::int64_t>(t.x_MC.extent(0));
  const std::vector<Block> all = blocks(m);
  const std::int64_t widest = all.empty()
                                  ? 0
                                  : (vocabulary_.size + static_cast<std::int64_t>(all.size()) - 1) /
                                        static_cast<std::int64_t>(all.size());
  const auto logits = arena.take1<float>(m * widest);
  const Tensor1<const std::int32_t> labels_M = upload(exec, pass.batch.target_labels_M);
  const SoftmaxStats stats = begin_softmax(exec, m);
  for (const Block& block : all) {
    const Tensor2<float> logits_MK(logits.data(), m, block.size);
    block_logits(pass, logits_MK, t.y_MC, block);
    softmax_stats_add(exec, stats, logits_MK, labels_M, vocabulary_.begin + block.first);
  }
  const SoftmaxOutcome outcome =
      finish_softmax(exec, stats, pass.batch.target_labels_M, &pass.tensor);
  if (pass.training) {
    const auto dy_MC = arena.take2<float>(m, width_);
    const auto dlogits = arena.take1<Real>(m * widest);
    const Write table_write = parameters_.gradient_write(table_),
                bias_write = parameters_.gradient_write(bias_);
    for (const Block& block : all) {
      const Tensor2<float> logits_MK(logits.data(), m, block.size);
      const Tensor2<Real> dlogits_MK(dlogits.data(), m, block.size);
      if (all.size() > 1)
        block_logits(pass, logits_MK, t.y_MC, block);  // a single block's logits are still there
      softmax_gradient<Real>(exec, dlogits_MK, logits_MK, outcome.log_sum_M, labels_M,
                             gradient_scale, vocabulary_.begin + block.first, outcome.target);
      block_backward(pass, dy_MC, dlogits_MK, t.y_MC, block, table_write, bias_write);
    }
    pass.sum_over_tensor_ranks(dy_MC);
    transform_backward(pass, t, dy_MC, dhidden_NC);
  }
  return {.nats = outcome.nats, .num_terms = outcome.num_terms, .counts = {outcome.num_correct}};
}

template <class Real>
std::map<std::string, double> MaskedLanguageModel<Real>::metrics(const Tally& total) const {
  const double terms = static_cast<double>(total.num_terms);
  return {{"loss", mean_loss(total)},
          {"accuracy", static_cast<double>(total.counts.at(0)) / terms}};
}

template class MaskedLanguageModel<float>;
template class MaskedLanguageModel<bf16>;

}  // namespace polyphase
