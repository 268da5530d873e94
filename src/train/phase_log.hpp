// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "io/metrics.hpp"
#include "io/tensorboard.hpp"
#include "train/phase.hpp"
#include "train/phase_checkpoint.hpp"
#include "train/step.hpp"

namespace polyphase {

// metrics.jsonl of a phase, and the same for TensorBoard. Rank 0 writes; on other ranks every call
// does nothing.
class PhaseLog {
 public:
  // Makes the phase's folder. What a killed job recorded behind its last checkpoint comes again, so
  // it is cut off. Collective; errors are agreed.
  PhaseLog(const PhaseJob& job, const PhaseStart& start,
           const std::vector<std::string>& objective_names);

  // What the phase is made of: the first record of a phase that begins.
  void lineage(const Lineage& lineage);
  void step(const PhaseState& state, const StepPlan& plan, const StepBatches& batches,
            const StepRecord& record, double seconds);
  // Once for each step and part: a job that was killed after the last evaluation makes it again.
  void evaluation(std::int64_t step, const std::string& part,
                  const std::map<std::string, double>& metrics);
  // What is known of the corpus before the first step.
  void corpus(double unigram_nats);
  // A checkpoint of the step was begun, for which and for those before it training waited so long.
  void save(std::int64_t step, double stall_seconds);
  // A rollback that a killed job made is made again by the next one: it is recorded once.
  void event(std::int64_t step, const std::string& what, const std::string& detail);

 private:
  void append(const nlohmann::json& record);

  const recipe::Phase& phase_;
  std::vector<std::string> objective_names_;
  std::optional<MetricsWriter> writer_;     // rank 0, like the next
  std::optional<TensorBoardWriter> board_;  // the same for TensorBoard
  std::set<std::pair<std::int64_t, std::string>> evaluated_;
  std::set<std::tuple<std::int64_t, std::string, std::string>> events_;
};

}  // namespace polyphase
