// SPDX-License-Identifier: Apache-2.0
#include "model/reference_run.hpp"

#include <cmath>
#include <fstream>

#include "base/error.hpp"
#include "train/largest_batch.hpp"

namespace polyphase {
namespace {

recipe::Recipe recipe_of(const nlohmann::json& reference, recipe::Precision precision) {
  const nlohmann::json& config = reference.at("config");
  recipe::Recipe recipe;
  recipe.precision = precision;
  recipe.model.num_layers = config.at("layers");
  recipe.model.width = config.at("width");
  recipe.model.num_heads = config.at("heads");
  recipe.model.feed_forward = config.at("feed_forward");
  recipe.model.max_tokens = config.at("positions");
  recipe.model.norm =
      config.at("norm") == "pre" ? recipe::NormPlacement::kPre : recipe::NormPlacement::kPost;
  recipe.model.norm_epsilon = config.at("norm_epsilon");
  recipe::Phase phase;
  phase.name = "test";
  phase.batch = {.sequences = 4, .micro_batch = 4};
  phase.mask_fraction = 0.5;  // of the plan for the arena: the cases mask more than usual
  for (const auto& [name, weight] : config.at("objectives").items()) {
    if (name == "classification")
      phase.task = recipe::Task{.kind = recipe::TaskKind::kClassification};
    if (name == "tagging") phase.task = recipe::Task{.kind = recipe::TaskKind::kTagging};
    if (name == "mlm" || name == "nsp") phase.objectives[name] = weight;
  }
  const nlohmann::json& optimizer = reference.at("optimizer");
  phase.optimizer.learning_rate = optimizer.at("learning_rate");
  phase.optimizer.weight_decay = optimizer.at("weight_decay");
  phase.optimizer.beta1 = optimizer.at("beta1");
  phase.optimizer.beta2 = optimizer.at("beta2");
  phase.optimizer.epsilon = optimizer.at("epsilon");
  phase.optimizer.max_grad_norm = optimizer.at("max_grad_norm");
  recipe.phases = {phase};
  return recipe;
}

// Sequences [first, first + count) of a step's batch as a micro-batch.
Batch cut(const nlohmann::json& step, std::int64_t number, std::int64_t first, std::int64_t count) {
  const auto starts = step.at("starts").get<std::vector<std::int32_t>>();
  const std::int32_t begin = starts[first], end = starts[first + count];
  const auto column = [&](const char* key) {
    const auto all = step.at(key).get<std::vector<std::int32_t>>();
    return std::vector<std::int32_t>(all.begin() + begin, all.begin() + end);
  };
  Batch batch;
  batch.tokens_N = column("tokens");
  batch.positions_N = column("positions");
  batch.segments_N = column("segments");
  for (std::int64_t b = first; b <= first + count; ++b) batch.starts.push_back(starts[b] - begin);
  for (std::int64_t b = 0; b < count; ++b) {
    for (std::int32_t row = batch.starts[b]; row < batch.starts[b + 1]; ++row) {
      const std::uint64_t sample = static_cast<std::uint64_t>(4 * number + first + b);
      batch.row_ids_N.push_back((sample << 16) | static_cast<std::uint64_t>(row - batch.starts[b]));
    }
    batch.max_tokens =
        std::max<std::int64_t>(batch.max_tokens, batch.starts[b + 1] - batch.starts[b]);
  }
  if (step.contains("masked_rows")) {
    const auto rows = step.at("masked_rows").get<std::vector<std::int32_t>>();
    const auto labels = step.at("masked_labels").get<std::vector<std::int32_t>>();
    for (std::size_t m = 0; m < rows.size(); ++m) {
      if (rows[m] < begin || rows[m] >= end) continue;
      batch.target_rows_M.push_back(rows[m] - begin);
      batch.target_labels_M.push_back(labels[m]);
    }
  }
  if (step.contains("sequence_labels")) {
    const auto labels = step.at("sequence_labels").get<std::vector<std::int32_t>>();
    batch.sequence_labels_B.assign(labels.begin() + first, labels.begin() + first + count);
  }
  if (step.contains("token_labels")) batch.token_labels_N = column("token_labels");
  while (batch.tokens_N.size() % kRowMultiple != 0) {  // padding rows, as the corpus makes them
    batch.tokens_N.push_back(0);
    batch.positions_N.push_back(0);
    batch.segments_N.push_back(0);
    batch.row_ids_N.push_back(0);
    if (!batch.token_labels_N.empty()) batch.token_labels_N.push_back(-1);
  }
  while (batch.target_rows_M.size() % kTargetRowMultiple != 0) {
    batch.target_rows_M.push_back(-1);
    batch.target_labels_M.push_back(-1);
  }
  return batch;
}

// The script's formula for initial values.
double formula(const Parameter& parameter, std::size_t ordinal, std::int64_t element) {
  const double i = static_cast<double>(element), p = static_cast<double>(ordinal);
  if (parameter.spec.global_shape.size() == 2) return 0.3 * std::sin(1.7 + 0.61 * i + 0.37 * p);
  if (parameter.spec.name.ends_with("gain")) return 1.0 + 0.1 * std::sin(0.5 * i + p);
  return 0.05 * std::cos(0.9 * i + 0.2 * p);
}

}  // namespace

const Communicator* test_world = nullptr;

nlohmann::json read_case(const std::string& name) {
  const std::string path = std::string(POLYPHASE_REFERENCE_FOLDER) + "/bert_" + name + ".json";
  std::ifstream file(path);
  POLYPHASE_PROMISE(file.good(), "no reference {}", path);
  return nlohmann::json::parse(file);
}

RankGrid solo_grid() {
  return {.tensor = make_grid(*test_world, 1).tensor,
          .data = make_grid(*test_world, test_world->size()).data};
}

ReferenceRun::ReferenceRun(const nlohmann::json& reference, const RankGrid& grid,
                           std::int64_t num_micro_batches, recipe::Precision precision,
                           double dropout)
    : reference_(reference),
      grid_(grid),
      num_micro_batches_(num_micro_batches),
      dropout_(dropout),
      recipe_(recipe_of(reference, precision)) {
  const recipe::Phase& phase = recipe_.phases[0];
  PhaseData data = {.vocab_size = reference.at("config").at("vocabulary"), .label_names = {}};
  for (int k = 0; k < reference.at("config").at("classes"); ++k)
    data.label_names.push_back(fmt::format("B-{}", k));
  model_ = make_phase_model(recipe_, phase, data, grid.tensor);
  model_->parameters().allocate(
      GradientReducer::num_gradient_sets(num_micro_batches / grid.data.size()));
  model_->allocate_arena(model_->plan_arena_bytes(largest_batch(recipe_, phase, 4, 0), true));
  optimizer_ = std::make_unique<AdamWOptimizer>(model_->parameters(), phase.optimizer);
  reducer_ = std::make_unique<GradientReducer>(model_->exec(), model_->parameters(), grid.data);
  set_parameters();
}

void ReferenceRun::set_parameters() {
  const nlohmann::json& listed = reference_.at("parameters");
  POLYPHASE_PROMISE(listed.size() == model_->parameters().all().size(),
                    "{} parameters, the reference has {}", model_->parameters().all().size(),
                    listed.size());
  for (std::size_t ordinal = 0; ordinal < listed.size(); ++ordinal) {
    const Parameter* parameter = model_->parameters().find(listed[ordinal].at("name"));
    POLYPHASE_PROMISE(parameter != nullptr, "no parameter {}",
                      listed[ordinal].at("name").get<std::string>());
    const bool rows_split =
        parameter->spec.split_dimension == 0 && parameter->spec.global_shape.size() == 2;
    const std::int64_t begin =
        parameter->spec.split_dimension < 0 ? 0 : parameter->spec.split.begin;
    const std::int64_t columns = parameter->local_shape.back(),
                       global_columns = parameter->spec.global_shape.back();
    for (std::int64_t i = 0; i < parameter->count; ++i) {
      const std::int64_t row = i / columns + (rows_split ? begin : 0);
      const std::int64_t column = i % columns + (rows_split ? 0 : begin);
      model_->parameters().values()(parameter->offset + i) =
          static_cast<float>(formula(*parameter, ordinal, row * global_columns + column));
    }
  }
}

StepBatches ReferenceRun::batches(std::int64_t step) const {
  const std::int64_t sequences = 4 / num_micro_batches_,
                     mine = num_micro_batches_ / grid_.data.size();
  StepBatches result;
  for (std::int64_t m = grid_.data.rank() * mine; m < (grid_.data.rank() + 1) * mine; ++m) {
    result.micro_batches.push_back(
        cut(reference_.at("batches")[step], step, m * sequences, sequences));
  }
  return result;
}

StepRecord ReferenceRun::step(std::int64_t number) {
  const recipe::Optimizer& settings = recipe_.phases[0].optimizer;
  const StepPlan plan = {.step = number,
                         .learning_rate = settings.learning_rate,
                         .max_grad_norm = settings.max_grad_norm,
                         .dropout = {.hidden = static_cast<float>(dropout_),
                                     .attention = static_cast<float>(dropout_),
                                     .key = 42}};
  return train_step(plan, batches(number), *model_, *reducer_, *optimizer_, grid_);
}

std::vector<float> ReferenceRun::parameters() const {
  const Tensor1<float> values = model_->parameters().values();
  return {values.data(), values.data() + values.size()};
}

}  // namespace polyphase
