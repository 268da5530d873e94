// SPDX-License-Identifier: Apache-2.0
#include "train/phase_log.hpp"

#include <system_error>

#include "base/clock.hpp"
#include "comm/agreement.hpp"
#include "recipe/load.hpp"
#include "train/phase_data.hpp"

namespace polyphase {

PhaseLog::PhaseLog(const PhaseJob& job, const PhaseStart& start,
                   const std::vector<std::string>& objective_names)
    : phase_(phase_of(job)), objective_names_(objective_names) {
  const std::int64_t last_step = start.resumed ? start.state.step : -1;
  agree_on(job.world, [&] {
    if (job.world.rank() != 0) return;
    std::error_code error;
    std::filesystem::create_directories(job.folder, error);
    if (error) {
      fail<SystemError>("{}: cannot make the folder: {}; check permissions and disk",
                        job.folder.string(), error.message());
    }
    const std::filesystem::path path = job.folder / "metrics.jsonl";
    writer_.emplace(path);
    writer_->truncate_after(last_step);
    const std::vector<nlohmann::json> records = read_metrics(path);
    board_.emplace(job.folder, records);
    for (const nlohmann::json& record : records) {
      const std::int64_t step = record["step"];
      if (record["kind"] == "evaluation") evaluated_.emplace(step, record.value("split", ""));
      if (record.value("what", "") == "rolled back")
        events_.emplace(step, "rolled back", record.value("detail", ""));
    }
    if (start.resumed) {
      event(last_step, "resumed",
            fmt::format("on {} ranks",
                        recipe::layout_words(job.grid.tensor.size(), job.grid.pipeline.size(),
                                             job.grid.data.size())));
    }
  });
}

void PhaseLog::append(const nlohmann::json& record) {
  writer_->append(record);
  board_->append(record);
}

void PhaseLog::lineage(const Lineage& lineage) {
  if (!writer_) return;
  append({{"kind", "lineage"}, {"step", 0}, {"lineage", lineage}});
}

void PhaseLog::step(const PhaseState& state, const StepPlan& plan, const StepBatches& batches,
                    const StepRecord& record, double seconds) {
  if (!writer_) return;
  std::map<std::string, double> losses;
  for (std::size_t o = 0; o < record.losses.size(); ++o) {
    losses[objective_names_[o]] = record.losses[o];
  }
  nlohmann::json line = {{"kind", "step"},
                         {"step", state.step},
                         {"samples", batch_sizes_of(phase_).before(state.step)},
                         {"epoch", batches.epoch},
                         {"loss", record.loss},
                         {"losses", losses},
                         {"learning_rate", plan.learning_rate},
                         {"grad_norm", record.grad_norm},
                         {"tokens", record.num_tokens},
                         {"seconds", seconds},
                         {"data_wait_seconds", record.data_wait_seconds},
                         {"tensor_wait_seconds", record.tensor_wait_seconds},
                         {"pipeline_wait_seconds", record.pipeline_wait_seconds},
                         {"tokens_per_second", static_cast<double>(record.num_tokens) / seconds}};
  if (plan.penalty.on()) line["penalty"] = record.penalty;
  if (phase_.regularisation.r_drop.value_or(0.0) > 0) line["divergence"] = record.divergence;
  append(line);
}

void PhaseLog::evaluation(std::int64_t step, const std::string& part,
                          const std::map<std::string, double>& metrics) {
  if (!writer_ || !evaluated_.insert({step, part}).second) return;
  append({{"kind", "evaluation"}, {"step", step}, {"split", part}, {"metrics", metrics}});
}

void PhaseLog::corpus(double unigram_nats) {
  if (!writer_) return;
  append({{"kind", "corpus"}, {"step", 0}, {"unigram_nats", unigram_nats}});
}

void PhaseLog::save(std::int64_t step, double stall_seconds) {
  if (!writer_) return;
  append({{"kind", "save"},
          {"step", step},
          {"time", seconds_since_1970()},
          {"stall_seconds", stall_seconds}});
}

void PhaseLog::event(std::int64_t step, const std::string& what, const std::string& detail) {
  if (!writer_ || !events_.insert({step, what, detail}).second) return;
  append({{"kind", "event"}, {"step", step}, {"what", what}, {"detail", detail}});
}

}  // namespace polyphase
