// SPDX-License-Identifier: Apache-2.0
#include "plan/plan_time.hpp"

#include <algorithm>
#include <cmath>

#include "recipe/load.hpp"

namespace polyphase {
namespace {

constexpr double kFloatBytes = sizeof(float);

// As train/gradient_reducer.cpp cuts what it sends.
constexpr double kBucketFloats = 1 << 20;

// Sums of a few numbers that each step waits for: tokens, norm, losses, their counts.
constexpr int kSmallSums = 4;

// Gradients of the layers above go out while those below are made, in a backward pass, which is two
// thirds of a micro-batch; updated parameters come during the first forward pass, but on devices in
// front of its sums between tensor-parallel ranks.
constexpr double kBackwardShare = 2.0 / 3.0, kForwardShare = 1.0 / 3.0;

// y += x, y = x, and a norm that reads x.
constexpr double kAddPasses = 3, kCopyPasses = 2, kNormPasses = 1;

double size_of(const Work::Product& product) {
  const auto inverse = [](std::int64_t extent) { return 1.0 / static_cast<double>(extent); };
  return 3.0 / (inverse(product.m) + inverse(product.n) + inverse(product.k));
}

// Of how many micro-batches gradients are summed over ranks: of all together, or of each.
double sums_a_step(const StepWork& work, const Layout& layout) {
  return layout.shard == recipe::Shard::kGradients ? static_cast<double>(work.num_micro_batches)
                                                   : 1.0;
}

// The gradients of a step over the data-parallel ranks.
CollectiveCost sum_gradients(const StepWork& work, const Layout& layout, const Network& network) {
  if (work.num_trained == 0) return {};
  const auto floats = static_cast<double>(work.num_trained);
  const double buckets_a_sum =
      std::ceil(floats / kBucketFloats) + static_cast<double>(work.num_layers);
  const double num_buckets = sums_a_step(work, layout) * buckets_a_sum;
  const RankGroup group = {.size = layout.data, .stride = layout.tensor};
  const double bytes = kFloatBytes * floats / buckets_a_sum;
  const CollectiveCost bucket = layout.shard == recipe::Shard::kNone
                                    ? tree_sum_cost(network, group, bytes)
                                    : owned_sums_cost(network, group, bytes);
  return {.within_bytes = num_buckets * bucket.within_bytes,
          .between_bytes = num_buckets * bucket.between_bytes,
          .seconds = num_buckets * bucket.seconds};
}

// Between the tensor-parallel ranks: in each micro-batch, and of what they have parts of, once.
CollectiveCost sum_over_tensor(const StepWork& work, const Layout& layout, const Network& network) {
  const auto cost = [&](double floats) {
    return tree_sum_cost(network, {.size = layout.tensor, .stride = 1}, kFloatBytes * floats);
  };
  CollectiveCost sums;
  for (const auto& [floats, calls] : work.pass.shared_sums) {
    const CollectiveCost one = cost(static_cast<double>(floats));
    for (std::int64_t i = 0; i < work.num_micro_batches * calls; ++i) sums += one;
  }
  if (work.num_parts_of_rows > 0) {
    const bool divided = layout.shard != recipe::Shard::kNone;
    sums += cost(static_cast<double>(work.num_parts_of_rows) /
                 (divided ? static_cast<double>(layout.data) : 1.0));
  }
  return sums;
}

// Between stages, which are as far apart as all ranks of one stage: rows of each micro-batch and
// their gradients, of each chunk one message each way; once a step, values of what stages share.
CollectiveCost send_between_stages(const StepWork& work, const Layout& layout,
                                   const Network& network) {
  if (layout.pipeline == 1) return {};
  const auto micro_batches = static_cast<double>(work.num_micro_batches);
  const bool within = layout.num_ranks() <= network.ranks_a_node;
  const Link& link = within ? network.within : network.between;
  const double bytes = kFloatBytes * work.pass.passed_on;
  const double messages = 2 * static_cast<double>(layout.interleave);
  CollectiveCost cost = {.seconds = micro_batches *
                                    (link.seconds(bytes) + (messages - 1) * link.seconds(0))};
  const double copied_bytes = kFloatBytes * static_cast<double>(work.num_copied);
  if (copied_bytes > 0) cost.seconds += link.seconds(copied_bytes);
  (within ? cost.within_bytes : cost.between_bytes) = micro_batches * bytes + copied_bytes;
  return cost;
}

double exposed(const CollectiveCost& sums, double overlap, double backward_seconds) {
  return sums.seconds - std::min(overlap * sums.seconds, backward_seconds);
}

// Of what is done once a step: sums of micro-batches, layer by layer, with what lies above and
// below the layers; the norm; and the update, of which ranks that divide it have a share each.
std::int64_t num_update_kernels(const StepWork& work, const Layout& layout) {
  const std::int64_t owners = layout.shard == recipe::Shard::kNone ? 1 : layout.data;
  return (work.num_micro_batches - 1) * (work.num_layers + 2) + 1 +
         (work.update.num_kernels + owners - 1) / owners;
}

double start_seconds(const NodeRates& rates, std::int64_t num_kernels) {
  return 1e-6 * rates.kernel_us * static_cast<double>(num_kernels);
}

double update_seconds(const StepWork& work, const Layout& layout, const NodeRates& rates) {
  const double bytes_a_pass = kFloatBytes * static_cast<double>(work.num_trained);
  const double owners =
      layout.shard == recipe::Shard::kNone ? 1.0 : static_cast<double>(layout.data);
  const KernelSeconds kernels = kernel_seconds(work.update, rates, recipe::Precision::kF32);
  const double num_added = static_cast<double>(work.num_micro_batches - 1);
  double sums = kAddPasses * num_added * bytes_a_pass;
  if (layout.shard == recipe::Shard::kGradients && num_added > 0)
    sums = (sums + kCopyPasses * (num_added + 1) * bytes_a_pass) / owners;
  const double moved = sums + (kNormPasses * bytes_a_pass + work.update.moved_bytes) / owners;
  return 1e-9 * moved / rates.memory_gb_s + kernels.products / owners +
         start_seconds(rates, num_update_kernels(work, layout));
}

}  // namespace

KernelSeconds kernel_seconds(const Work& work, const NodeRates& rates,
                             recipe::Precision precision) {
  KernelSeconds seconds;
  for (const auto& [product, calls] : work.products) {
    const recipe::Precision own = product.bf16 ? recipe::Precision::kBf16 : recipe::Precision::kF32;
    seconds.products += static_cast<double>(calls) * 1e-9 * product.flops() /
                        rates.products(own).at(size_of(product));
  }
  seconds.attention = 1e-9 * work.attention_flops / rates.attention_gflops(precision);
  seconds.rows = 1e-9 * work.moved_bytes / rates.row_rate_gb_s(precision) +
                 start_seconds(rates, work.num_kernels);
  return seconds;
}

PlannedTime plan_time(const StepWork& work, const Layout& layout, const Machine& machine) {
  const NodeRates rates = machine.rates_for(layout.num_ranks());
  const Network network = Network::of(machine, layout.num_ranks());
  const auto micro_batches = static_cast<double>(work.num_micro_batches);
  const KernelSeconds pass = kernel_seconds(work.pass, rates, work.precision);
  PlannedTime time = {.product_seconds = micro_batches * pass.products,
                      .attention_seconds = micro_batches * pass.attention,
                      .row_seconds = micro_batches * pass.rows,
                      .update_seconds = update_seconds(work, layout, rates),
                      .stage_sends = send_between_stages(work, layout, network),
                      .tensor_sums = sum_over_tensor(work, layout, network),
                      .data_sums = sum_gradients(work, layout, network)};
  time.idle_seconds =
      static_cast<double>(layout.pipeline - 1) / static_cast<double>(layout.interleave) *
      (pass.products + pass.attention + pass.rows + time.tensor_sums.seconds / micro_batches);
  const RankGroup data = {.size = layout.data, .stride = layout.tensor};
  if (layout.shard != recipe::Shard::kNone) {
    time.shared_updates =
        exchange_cost(network, data, kFloatBytes * static_cast<double>(work.num_trained));
  }
  time.exposed_data_seconds =
      exposed(time.data_sums, rates.overlap,
              sums_a_step(work, layout) * kBackwardShare *
                  (pass.products + pass.attention + pass.rows)) +
      exposed(time.shared_updates, layout.tensor > 1 ? 0.0 : rates.overlap,
              kForwardShare * (pass.products + pass.attention + pass.rows)) +
      kSmallSums * tree_sum_cost(network, {.size = layout.num_ranks()}, kFloatBytes).seconds;
  time.num_kernels =
      work.num_micro_batches * work.pass.num_kernels + num_update_kernels(work, layout);
  time.start_seconds = start_seconds(rates, time.num_kernels);
  time.tokens = work.tokens * micro_batches * static_cast<double>(layout.data);
  time.model_flops = work.model_flops * micro_batches * static_cast<double>(layout.num_ranks());
  time.mfu = 1e-9 * time.model_flops /
             (time.step_seconds() * rates.peak_gflops(work.precision) *
              static_cast<double>(layout.num_ranks()));
  return time;
}

std::optional<std::int64_t> num_steps_of(const recipe::Recipe& recipe, const recipe::Phase& phase) {
  if (phase.stop.steps) return phase.stop.steps;
  std::int64_t samples = phase.max_train_samples;
  if (samples == 0 && phase.data.size() == 1) {
    const recipe::Corpus* corpus = recipe::find_corpus(recipe, phase.data.begin()->first);
    if (corpus != nullptr) samples = corpus->max_train_samples;
  }
  if (samples == 0 || !phase.stop.epochs) return std::nullopt;
  const std::int64_t all = samples * *phase.stop.epochs;
  return (all + phase.batch.sequences - 1) / phase.batch.sequences;
}

PlannedStorage plan_storage(const recipe::Recipe& recipe, std::optional<std::int64_t> num_steps,
                            std::int64_t checkpoint_bytes) {
  const recipe::Checkpoint& rule = recipe.checkpoint;
  std::int64_t written = 1;  // that of the end
  if (num_steps && rule.every_steps > 0)
    written = std::max<std::int64_t>(1, (*num_steps + rule.every_steps - 1) / rule.every_steps);
  const std::int64_t kept = rule.keep + rule.keep_best;
  const auto bytes = static_cast<double>(checkpoint_bytes);
  return {.written_bytes = bytes * static_cast<double>(written),
          .kept_bytes = bytes * static_cast<double>(num_steps ? std::min(kept, written) : kept)};
}

}  // namespace polyphase
