// SPDX-License-Identifier: Apache-2.0
#include "model/reference_run.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/error.hpp"
#include "kernels/copies.hpp"
#include "recipe/load.hpp"
#include "recipe/teacher_cuts.hpp"
#include "train/evaluate.hpp"
#include "train/largest_batch.hpp"
#include "train/phase_data.hpp"

namespace polyphase {
namespace {

// The case as a recipe's text: JSON is YAML too.
recipe::Recipe recipe_of(const nlohmann::json& reference, recipe::Precision precision) {
  const nlohmann::json phase_keys = reference.at("phase");
  nlohmann::json phase = phase_keys;
  const bool supervised = phase.contains("task");
  const std::string kind = supervised ? phase.at("task").at("kind").get<std::string>() : "text";
  phase["name"] = "test";
  phase["data"] = {{"data", 1.0}};
  phase["batch"] = {{"sequences", 4}, {"micro_batch", 4}};
  phase["optimizer"] = reference.at("optimizer");
  phase["stop"] = {{"steps", 20}};
  phase["mask_fraction"] = 0.5;  // of the plan for the arena: the cases mask more than usual
  nlohmann::json phases = {phase};
  if (reference.contains("teacher")) {
    nlohmann::json teacher = phase;
    teacher["name"] = "teacher";
    teacher.erase("distil");
    for (const auto& [key, value] : reference.at("teacher").at("model").items())
      teacher[key] = value;
    phases[0]["distil"]["teacher"] = "teacher";
    phases.insert(phases.begin(), teacher);
  }
  const nlohmann::json recipe = {
      {"name", "reference"},
      {"corpora", {{"data", {{"kind", kind}, {"train", {"source", "target"}}}}}},
      {"model", reference.at("model")},
      {"precision", precision == recipe::Precision::kBf16 ? "bf16" : "f32"},
      {"recompute", reference.value("recompute", "none")},
      {"parallel",
       {{"sequence", reference.value("sequence", false)},
        {"interleave", reference.value("interleave", 1)}}},
      {"phases", phases}};
  return recipe::parse(recipe.dump(), "reference");
}

void cut_rows(Rows& rows, const nlohmann::json& step, std::int64_t number, std::int64_t first,
              std::int64_t count, std::size_t row_multiple) {
  const auto starts = step.at("starts").get<std::vector<std::int32_t>>();
  const std::int32_t begin = starts[first], end = starts[first + count];
  const auto column = [&](const char* key) {
    if (!step.contains(key)) return std::vector<std::int32_t>(end - begin, 0);
    const auto all = step.at(key).get<std::vector<std::int32_t>>();
    return std::vector<std::int32_t>(all.begin() + begin, all.begin() + end);
  };
  rows.tokens_N = column("tokens");
  rows.positions_N = column("positions");
  rows.segments_N = column("segments");
  for (std::int64_t b = first; b <= first + count; ++b) rows.starts.push_back(starts[b] - begin);
  for (std::int64_t b = 0; b < count; ++b) {
    for (std::int32_t row = rows.starts[b]; row < rows.starts[b + 1]; ++row) {
      const std::uint64_t sample = static_cast<std::uint64_t>(4 * number + first + b);
      rows.row_ids_N.push_back((sample << 16) | static_cast<std::uint64_t>(row - rows.starts[b]));
    }
    rows.max_tokens = std::max<std::int64_t>(rows.max_tokens, rows.starts[b + 1] - rows.starts[b]);
  }
  while (rows.tokens_N.size() % row_multiple != 0) {  // padding rows, as the corpus makes them
    rows.tokens_N.push_back(0);
    rows.positions_N.push_back(0);
    rows.segments_N.push_back(0);
    rows.row_ids_N.push_back(0);
  }
}

// Sequences [first, first + count) of a step's batch as a micro-batch.
Batch cut(const nlohmann::json& step, const recipe::Phase& phase, std::int64_t number,
          std::int64_t first, std::int64_t count, std::size_t row_multiple) {
  const auto starts = step.at("starts").get<std::vector<std::int32_t>>();
  const std::int32_t begin = starts[first], end = starts[first + count];
  Batch batch;
  cut_rows(batch, step, number, first, count, row_multiple);
  if (step.contains("source"))
    cut_rows(batch.source, step.at("source"), number, first, count, row_multiple);
  const auto values_of_sequences = [&]<class T>(const char* key, std::vector<T>& values) {
    if (!step.contains(key)) return;
    const auto all = step.at(key).get<std::vector<T>>();
    values.assign(all.begin() + first, all.begin() + first + count);
  };
  if (step.contains("turns")) {
    const std::vector<SampleKind> kinds = sample_kinds_of(phase);
    std::vector<std::int32_t> turns;
    values_of_sequences("turns", turns);
    for (const std::int32_t turn : turns) batch.kinds_B.push_back(kinds.at(turn));
  }
  values_of_sequences("prefixes", batch.prefixes_B);
  values_of_sequences("sequence_labels", batch.sequence_labels_B);
  values_of_sequences("sequence_values", batch.sequence_values_B);
  values_of_sequences("answer_first", batch.answer_first_B);
  values_of_sequences("answer_last", batch.answer_last_B);
  for (std::int32_t& row : batch.answer_first_B) row -= begin;
  for (std::int32_t& row : batch.answer_last_B) row -= begin;
  if (step.contains("label_sets")) {  // of all sequences, one behind the other
    const auto all = step.at("label_sets").get<std::vector<float>>();
    const auto num_labels = static_cast<std::int64_t>(all.size() / (starts.size() - 1));
    batch.label_sets_BK.assign(all.begin() + first * num_labels,
                               all.begin() + (first + count) * num_labels);
  }
  const std::string targets = step.contains("masked_rows") ? "masked" : "target";
  if (step.contains(targets + "_rows")) {
    const auto rows = step.at(targets + "_rows").get<std::vector<std::int32_t>>();
    const auto labels = step.at(targets + "_labels").get<std::vector<std::int32_t>>();
    for (std::size_t m = 0; m < rows.size(); ++m) {
      if (rows[m] < begin || rows[m] >= end) continue;
      batch.target_rows_M.push_back(rows[m] - begin);
      batch.target_labels_M.push_back(labels[m]);
    }
  }
  while (batch.target_rows_M.size() % kTargetRowMultiple != 0) {
    batch.target_rows_M.push_back(-1);
    batch.target_labels_M.push_back(-1);
  }
  if (step.contains("token_labels")) {
    const auto all = step.at("token_labels").get<std::vector<std::int32_t>>();
    batch.token_labels_N.assign(all.begin() + begin, all.begin() + end);
    batch.token_labels_N.resize(batch.tokens_N.size(), -1);
  }
  return batch;
}

// The scripts' formulas for initial values; those of bert.py lack the square.
double formula(const Parameter& parameter, std::size_t ordinal, std::int64_t element,
               double square) {
  const double i = static_cast<double>(element), p = static_cast<double>(ordinal);
  if (parameter.spec.global_shape.size() == 2)
    return 0.3 * std::sin(1.7 + 0.61 * i + square * i * i + 0.37 * p);
  if (parameter.spec.name.ends_with("gain")) return 1.0 + 0.1 * std::sin(0.5 * i + p);
  return 0.05 * std::cos(0.9 * i + 0.2 * p);
}

// Sets all parameters by the formula; the ordinals count from `first`.
void set_parameters(ParameterSet& parameters, const nlohmann::json& listed, double square,
                    std::size_t first) {
  POLYPHASE_PROMISE(listed.size() == parameters.all().size(), "{} parameters, the reference has {}",
                    parameters.all().size(), listed.size());
  std::vector<float> values(static_cast<std::size_t>(parameters.total_count()));
  for (std::size_t number = 0; number < listed.size(); ++number) {
    const Parameter* parameter = parameters.find(listed[number].at("name"));
    POLYPHASE_PROMISE(parameter != nullptr, "no parameter {}",
                      listed[number].at("name").get<std::string>());
    const bool rows_split =
        parameter->spec.split_dimension == 0 && parameter->spec.global_shape.size() == 2;
    const std::int64_t begin =
        parameter->spec.split_dimension < 0 ? 0 : parameter->spec.split.begin;
    const std::int64_t columns = parameter->local_shape.back(),
                       global_columns = parameter->spec.global_shape.back();
    for (std::int64_t i = 0; i < parameter->count; ++i) {
      const std::int64_t row = i / columns + (rows_split ? begin : 0);
      const std::int64_t column = i % columns + (rows_split ? 0 : begin);
      values[parameter->offset + i] = static_cast<float>(
          formula(*parameter, first + number, row * global_columns + column, square));
    }
  }
  test::write_tensor(parameters.values(), values);
}

// bert_*.json in the words of family_*.json.
void translate(nlohmann::json& reference) {
  if (!reference.contains("config")) return;
  const nlohmann::json& config = reference.at("config");
  reference["model"] = {{"family", "bert"},
                        {"num_layers", config.at("layers")},
                        {"width", config.at("width")},
                        {"num_heads", config.at("heads")},
                        {"feed_forward", config.at("feed_forward")},
                        {"max_tokens", config.at("positions")},
                        {"norm", config.at("norm")},
                        {"norm_epsilon", config.at("norm_epsilon")}};
  reference["vocabulary"] = config.at("vocabulary");
  reference["square"] = 0.0;
  reference["labels"] = nlohmann::json::array();
  for (int k = 0; k < config.at("classes"); ++k)
    reference["labels"].push_back(fmt::format("B-{}", k));
  nlohmann::json phase;
  for (const auto& [name, weight] : config.at("objectives").items()) {
    if (name == "classification" || name == "tagging") {
      phase["task"] = {{"kind", name}};
    } else {
      phase["objectives"][name] = weight;
    }
  }
  reference["phase"] = phase;
}

}  // namespace

const Communicator* test_world = nullptr;

nlohmann::json read_case(const std::string& name) {
  const std::string path = std::string(POLYPHASE_REFERENCE_FOLDER) + "/" + name + ".json";
  std::ifstream file(path);
  POLYPHASE_PROMISE(file.good(), "no reference {}", path);
  nlohmann::json reference = nlohmann::json::parse(file);
  translate(reference);
  return reference;
}

std::vector<std::string> all_cases() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(POLYPHASE_REFERENCE_FOLDER)) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  POLYPHASE_PROMISE(names.size() == 59, "{} reference cases", names.size());
  return names;
}

RankGrid solo_grid() {
  return {.tensor = make_grid(*test_world, 1).tensor,
          .data = make_grid(*test_world, test_world->size()).data,
          .pipeline = make_grid(*test_world, 1).pipeline};
}

ReferenceRun::ReferenceRun(const nlohmann::json& reference, const RankGrid& grid,
                           std::int64_t num_micro_batches, recipe::Precision precision,
                           double dropout, recipe::Shard shard)
    : reference_(reference),
      grid_(grid),
      num_micro_batches_(num_micro_batches),
      dropout_(dropout),
      recipe_(recipe_of(reference, precision)) {
  recipe_.parallel.shard = shard;
  recipe_.parallel.pipeline = grid.pipeline.size();
  const recipe::Phase& phase = this->phase();
  const PhaseData data = {.vocab_size = reference.at("vocabulary"),
                          .label_names = reference.at("labels")};
  const double square = reference.value("square", 0.013);
  model_ = make_phase_model(recipe_, phase, data, grid.tensor, &grid.pipeline);
  if (reference.contains("teacher")) {
    const recipe::Phase& teacher = recipe_.phases[0];
    teacher_ =
        make_phase_model(recipe_, teacher, data, grid.tensor, &grid.pipeline,
                         recipe::teacher_cuts(recipe_, phase, recipe::model_of(recipe_, teacher)));
    teacher_->parameters().allocate();
    set_parameters(teacher_->parameters(), reference.at("teacher").at("parameters"), square, 1000);
    model_->learn_from(*teacher_, *phase.adaptation.distil);
  }
  const Shards shards =
      make_shards(recipe_, phase, model_->parameters(), grid.data.rank(), grid.data.size());
  optimizer_ = std::make_unique<Optimizer>(model_->parameters(), phase, grid.tensor, shards);
  optimizer_->allocate();
  const Batch largest =
      largest_batch(recipe_, phase, 4, static_cast<std::int64_t>(data.label_names.size()));
  optimizer_->mark_trained(model_->parameters());
  model_->plan_micro_batches(num_micro_batches / grid.data.size());
  model_->plan_arena_bytes(largest, true);
  model_->allocate_training(
      GradientReducer::num_gradient_sets(num_micro_batches / grid.data.size()),
      optimizer_->plan_arena_bytes(model_->parameters()), shards, grid.data);
  if (phase.regularisation.average)
    average_ = std::make_unique<WeightAverage>(model_->parameters(), phase, shards, grid.data);
  reducer_ =
      std::make_unique<GradientReducer>(model_->exec(), model_->parameters(), grid.data, shards,
                                        recipe_.parallel.sequence ? &grid.tensor : nullptr);
  set_parameters(model_->parameters(), reference.at("parameters"), square, 0);
  if (average_) average_->start(model_->parameters());
}

StepBatches ReferenceRun::batches(std::int64_t step) const {
  const std::int64_t sequences = 4 / num_micro_batches_,
                     mine = num_micro_batches_ / grid_.data.size();
  const Dealing dealing = dealing_of(optimizer_->shards());
  StepBatches result;
  for (std::int64_t i = 0; i < mine; ++i) {
    const std::int64_t m =
        micro_batch_number(dealing, grid_.data.rank(), grid_.data.size(), i, mine);
    result.micro_batches.push_back(cut(reference_.at("batches")[step], phase(), step, m * sequences,
                                       sequences, reference_.value("row_multiple", kRowMultiple)));
  }
  return result;
}

StepRecord ReferenceRun::step(std::int64_t number) {
  const recipe::Optimizer& settings = phase().optimizer;
  const recipe::Regularisation& keys = phase().regularisation;
  const StepPlan plan = {.step = number,
                         .learning_rate = settings.learning_rate,
                         .max_grad_norm = settings.max_grad_norm,
                         .max_grad_value = settings.max_grad_value,
                         .dropout = dropout(number),
                         .penalty = {.l1 = keys.l1.value_or(0.0), .l2 = keys.l2.value_or(0.0)}};
  const StepRecord record =
      train_step(plan, batches(number), *model_, *reducer_, *optimizer_, grid_);
  if (average_) average_->update(model_->exec(), model_->parameters(), number + 1);
  return record;
}

PassDropout ReferenceRun::dropout(std::int64_t step) const {
  const auto rate = static_cast<float>(dropout_);
  return {.hidden = rate,
          .attention = rate,
          .embedding = rate,
          .head = rate,
          .layers = static_cast<float>(recipe::layer_drop_of(recipe_, phase())),
          .key = 42,
          .step = step};
}

double ReferenceRun::average_loss(std::int64_t number) {
  const AveragedParameters averaged(*model_, average_.get());
  std::vector<std::vector<Tally>> tallies;
  for (const Batch& batch : batches(number).micro_batches)
    tallies.push_back(model_->evaluate(batch));
  return model_->metrics(sum_tallies(tallies, grid_, dealing_of(optimizer_->shards()))).at("loss");
}

std::vector<float> ReferenceRun::parameters() const {
  return test::read_tensor(model_->parameters().values());
}

}  // namespace polyphase
