// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "plan/collective_cost.hpp"
#include "plan/machine.hpp"
#include "plan/step_work.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

// How ranks share a phase's work.
struct Layout {
  std::int64_t tensor = 1, pipeline = 1, data = 1;
  recipe::Shard shard = recipe::Shard::kNone;
  recipe::Recompute recompute = recipe::Recompute::kNone;
  std::int64_t interleave = 1;  // chunks of each stage
  bool sequence = false;        // tensor-parallel ranks divide rows, too

  std::int64_t num_ranks() const { return tensor * pipeline * data; }
};

// Where the time of a step goes, of one rank; all wait for one another.
struct PlannedTime {
  double product_seconds = 0;
  double attention_seconds = 0;
  double row_seconds = 0;     // all other kernels of the passes
  double update_seconds = 0;  // sums of micro-batches, norm, optimizer
  // What stages of a pipeline have nothing to do in, since the first micro-batch has not come yet
  // or the last is gone; and what they send each other, which hides behind nothing.
  double idle_seconds = 0;
  CollectiveCost stage_sends;
  CollectiveCost tensor_sums, data_sums, shared_updates;
  double exposed_data_seconds = 0;  // of data_sums and shared_updates, what hides behind nothing
  // Kernels that a rank starts in a step, and what of the times above goes to starting them. On a
  // device, whose host starts kernels ahead, both may pass at once: see docs/planning.md.
  std::int64_t num_kernels = 0;
  double start_seconds = 0;
  double tokens = 0;       // of a step, whole job
  double model_flops = 0;  // of a step, whole job (StepWork)
  double mfu = 0;          // of what all ranks could do at most

  double step_seconds() const {
    return product_seconds + attention_seconds + row_seconds + update_seconds +
           tensor_sums.seconds + exposed_data_seconds + pipeline_seconds();
  }
  double pipeline_seconds() const { return idle_seconds + stage_sends.seconds; }
  double tokens_per_second() const { return tokens / step_seconds(); }
};

// Seconds of a rank's kernels: products at the rate of their size, attention at its own, all others
// by the bytes that they move.
struct KernelSeconds {
  double products = 0, attention = 0, rows = 0;
};
KernelSeconds kernel_seconds(const Work& work, const NodeRates& rates, recipe::Precision precision);

PlannedTime plan_time(const StepWork& work, const Layout& layout, const Machine& machine);

// Steps that a phase is asked for; none where that depends on a corpus, which is not opened.
std::optional<std::int64_t> num_steps_of(const recipe::Recipe& recipe, const recipe::Phase& phase);

// Checkpoints of a phase: written in all, and on disk at its end. At most, where its steps are not
// known: one is.
struct PlannedStorage {
  double written_bytes = 0, kept_bytes = 0;
};
PlannedStorage plan_storage(const recipe::Recipe& recipe, std::optional<std::int64_t> num_steps,
                            std::int64_t checkpoint_bytes);

}  // namespace polyphase
