// SPDX-License-Identifier: Apache-2.0
#include "objective/vocabulary_output.hpp"

#include <algorithm>
#include <type_traits>

#include "kernels/elementwise.hpp"
#include "kernels/linear_products.hpp"
#include "objective/divergence.hpp"

namespace polyphase {
namespace {

// Columns of a block in bf16, whose products need a copy of the block's part of the table: the
// whole table's would take more memory than all logits do.
constexpr std::int64_t kMostCopied = 4096;

std::int64_t num_labels(const std::vector<std::int32_t>& labels_M) {
  return std::count_if(labels_M.begin(), labels_M.end(),
                       [](std::int32_t label) { return label >= 0; });
}

}  // namespace

template <class Real>
VocabularyOutput<Real>::VocabularyOutput(ParameterSet& parameters, const recipe::Model& model,
                                         const EmbeddingLayer& embedding, const std::string& name,
                                         const Shape& shape)
    : parameters_(parameters),
      table_(embedding.token_table()),
      vocabulary_(embedding.vocabulary()),
      num_classes_(embedding.num_token_ids()),
      kept_bytes_(shape.kept_bytes),
      block_bytes_(shape.block_bytes) {
  if (shape.tied) {
    parameters.place_too(table_);
  } else {
    table_ = parameters.declare({.name = name + ".weight",
                                 .global_shape = {num_classes_, model.width},
                                 .split_dimension = 0,
                                 .split = vocabulary_});
  }
  if (!shape.has_bias) return;
  bias_ = parameters.declare({.name = name + ".bias",
                              .global_shape = {num_classes_},
                              .split_dimension = 0,
                              .split = vocabulary_,
                              .initial = Initial::kZero,
                              .decays = false});
}

template <class Real>
void VocabularyOutput<Real>::decide_blocks(std::int64_t num_rows, bool soft) {
  const std::int64_t column_bytes =
      std::max<std::int64_t>(1, num_rows) * std::int64_t{sizeof(float)};
  keeps_logits_ = vocabulary_.size * column_bytes <= kept_bytes_;
  std::int64_t most =
      keeps_logits_ ? vocabulary_.size : std::max<std::int64_t>(1, block_bytes_ / column_bytes);
  // A teacher's logits are not kept, and would be made twice.
  if (!std::is_same_v<Real, float> && !soft) most = std::min(most, kMostCopied);
  const std::int64_t count = (vocabulary_.size + most - 1) / most;
  block_width_ = (vocabulary_.size + count - 1) / count;
}

template <class Real>
auto VocabularyOutput<Real>::blocks() const -> std::vector<Block> {
  std::vector<Block> blocks;
  for (std::int64_t first = 0; first < vocabulary_.size; first += block_width_)
    blocks.push_back({first, std::min(block_width_, vocabulary_.size - first)});
  return blocks;
}

template <class Real>
void VocabularyOutput<Real>::block_logits(const Pass& pass, Tensor2<float> logits_MK,
                                          Tensor2<const Real> y_MC, const Block& block) const {
  const ArenaScope scope(*pass.exec.arena);
  const Tensor2<const float> table_VC = parameters_.value2(table_);
  // A generation keeps the whole table, other passes a block of it.
  const Tensor2<const Real> table_KC =
      pass.kept_weights != nullptr
          ? rows(in_precision<Real>(pass, table_, table_VC), block.first, block.size)
          : in_precision<Real>(pass.exec, rows(table_VC, block.first, block.size));
  Tensor1<const float> bias_K;
  if (bias_)
    bias_K = Tensor1<const float>(parameters_.value1(*bias_).data() + block.first, block.size);
  matmul<Real, float>(pass.exec, logits_MK, y_MC, Transpose::kNo, table_KC, Transpose::kYes,
                      Write::kOverwrite, bias_K);
}

template <class Real>
void VocabularyOutput<Real>::block_backward(const Pass& pass, Tensor2<float> dy_MC,
                                            Tensor2<const Real> dlogits_MK,
                                            Tensor2<const Real> y_MC, const Block& block,
                                            Write table_write, Write bias_write) const {
  const ArenaScope scope(*pass.exec.arena);
  const Exec& exec = pass.exec;
  const Tensor2<const float> table_KC = rows(parameters_.value2(table_), block.first, block.size);
  BiasGradient dbias{.write = bias_write};
  if (bias_)
    dbias.sum_N = Tensor1<float>(parameters_.gradient1(*bias_).data() + block.first, block.size);
  Tensor2<float> dtable_KC;
  if (parameters_.any_trained(table_, 1))
    dtable_KC = rows(parameters_.gradient2(table_), block.first, block.size);
  matmul_gradients<Real>(exec, dtable_KC, table_write, dbias, dlogits_MK, y_MC);
  matmul<Real, float>(exec, dy_MC, dlogits_MK, Transpose::kNo, in_precision<Real>(exec, table_KC),
                      Transpose::kNo, block.first == 0 ? Write::kOverwrite : Write::kAccumulate);
}

template <class Real>
SoftmaxOutcome VocabularyOutput<Real>::run(const Pass& pass, Tensor2<const Real> y_MC,
                                           Tensor2<float> dy_MC,
                                           const std::vector<std::int32_t>& labels_M,
                                           float gradient_scale, const SoftmaxLoss& settings) {
  const Exec& exec = pass.exec;
  const SoftmaxLoss loss = loss_of(pass, settings);
  Arena& arena = *exec.arena;
  const auto m = static_cast<std::int64_t>(y_MC.extent(0));
  if (block_width_ == 0 || exec.counting()) decide_blocks(m, loss.is_soft());
  const std::vector<Block> all = blocks();
  const std::int64_t widest = block_width_;
  const auto logits = arena.take1<float>(m * (keeps_logits_ ? vocabulary_.size : widest));
  const auto logits_of = [&](const Block& block) {
    return Tensor2<float>(logits.data() + (keeps_logits_ ? m * block.first : 0), m, block.size);
  };
  const Tensor1<const std::int32_t> labels = upload(exec, labels_M);
  const SoftmaxStats stats = begin_softmax(exec, m, loss);
  std::optional<SoftLoss> soft;
  if (pass.training && loss.is_soft()) soft.emplace(exec, loss.soft, m, widest);
  for (const Block& block : all) {
    const Tensor2<float> logits_MK = logits_of(block);
    block_logits(pass, logits_MK, y_MC, block);
    softmax_stats_add(exec, stats, logits_MK, labels, vocabulary_.begin + block.first);
    if (soft) soft->add(logits_MK, block.first);
  }
  SoftmaxOutcome outcome = finish_softmax(exec, stats, labels_M, &pass.tensor, loss, num_classes_);
  Divergence divergence(pass, &pass.tensor, m, num_labels(labels_M) / 2);
  divergence.begin(outcome.log_sum_M, labels);
  for (const Block& block : divergence.on() ? all : std::vector<Block>()) {
    const Tensor2<float> logits_MK = logits_of(block);
    if (!keeps_logits_) block_logits(pass, logits_MK, y_MC, block);
    divergence.add(logits_MK);
  }
  divergence.end(labels_M, outcome);
  if (!pass.training) return outcome;
  if (soft) {
    outcome.nats = soft->hard_weight() * outcome.nats + soft->finish(labels_M, &pass.tensor);
  }
  const float hard_scale = soft ? soft->hard_weight() * gradient_scale : gradient_scale;
  // Where nothing else reads them, the gradient takes the place of the logits.
  const bool in_place = std::is_same_v<Real, float> && !soft && !divergence.on();
  const auto dlogits = in_place ? Tensor1<Real>() : arena.take1<Real>(m * widest);
  if (!parameters_.any_trained(table_, 1)) parameters_.skip_gradients(table_, 1);
  const Write table_write = parameters_.gradient_write(table_),
              bias_write = bias_ ? parameters_.gradient_write(*bias_) : Write::kOverwrite;
  for (const Block& block : all) {
    const Tensor2<float> logits_MK = logits_of(block);
    Tensor2<Real> dlogits_MK(dlogits.data(), m, block.size);
    if constexpr (std::is_same_v<Real, float>) {
      if (in_place) dlogits_MK = logits_MK;
    }
    if (!keeps_logits_) block_logits(pass, logits_MK, y_MC, block);
    softmax_gradient<Real>(exec, dlogits_MK, logits_MK, outcome.log_sum_M, labels,
                           divergence.share(hard_scale), vocabulary_.begin + block.first,
                           outcome.target);
    divergence.add_gradient<Real>(dlogits_MK, logits_MK, gradient_scale);
    if (soft) soft->add_gradient<Real>(dlogits_MK, logits_MK, labels, block.first, gradient_scale);
    block_backward(pass, dy_MC, dlogits_MK, y_MC, block, table_write, bias_write);
  }
  pass.sum_over_tensor_ranks(dy_MC);
  return outcome;
}

template <class Real>
SoftTargets VocabularyOutput<Real>::teach(const Pass& pass, Tensor2<const Real> y_MC) const {
  return {.logits = [this, &pass, y_MC](Tensor2<float> logits_MK, std::int64_t first) {
    block_logits(pass, logits_MK, y_MC,
                 {.first = first, .size = static_cast<std::int64_t>(logits_MK.extent(1))});
  }};
}

template <class Real>
void VocabularyOutput<Real>::logits(const Pass& pass, Tensor2<float> logits_MV,
                                    Tensor2<const Real> y_MC) const {
  block_logits(pass, logits_MV, y_MC, {.first = 0, .size = vocabulary_.size});
}

template class VocabularyOutput<float>;
template class VocabularyOutput<bf16>;

}  // namespace polyphase
