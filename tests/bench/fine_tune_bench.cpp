// SPDX-License-Identifier: Apache-2.0
// Fine-tuning on short texts of many lengths: rows a second of whole training steps of an encoder
// that tells two classes apart, on random tokens. The lengths come from a file, one a line, as many
// rows a batch as lie together there. Prints one JSON line; scripts/bench --fine-tune runs it
// beside PyTorch.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/philox.hpp"
#include "comm/session.hpp"
#include "recipe/load.hpp"
#include "tests/bench/bench_shapes.hpp"
#include "tests/bench/watch.hpp"
#include "train/step.hpp"

namespace polyphase {
namespace {

struct Options {
  std::string precision = "f32", lengths;
  std::int64_t rows = 32;
  int warmup = 3;
  bool kernels = false, processor_time = false;
};

recipe::Recipe recipe_of(const BenchShape& shape, const Options& options) {
  recipe::Recipe recipe = bench_recipe(shape, options.precision);
  recipe.model.dropout = recipe.model.attention_dropout = 0.0;
  recipe::Phase& phase = recipe.phases[0];
  phase.task = recipe::Task{.kind = recipe::TaskKind::kClassification};
  phase.batch = {.sequences = options.rows, .micro_batch = options.rows};
  return recipe;
}

void append(Rows& rows, std::int64_t num_tokens, const BenchShape& shape) {
  const auto b = static_cast<std::uint64_t>(rows.num_sequences());
  for (std::int64_t t = 0; t < num_tokens; ++t) {
    const std::uint64_t row = rows.tokens_N.size();
    rows.tokens_N.push_back(static_cast<std::int32_t>(
        5 + philox(b, row, 0).word[0] % static_cast<std::uint32_t>(shape.vocabulary - 5)));
    rows.positions_N.push_back(static_cast<std::int32_t>(t));
    rows.row_ids_N.push_back((b << 16) | static_cast<std::uint64_t>(t));
  }
  rows.starts.push_back(static_cast<std::int32_t>(rows.tokens_N.size()));
  rows.max_tokens = std::max(rows.max_tokens, num_tokens);
}

std::vector<Batch> read_batches(const Options& options, const BenchShape& shape) {
  std::ifstream stream(options.lengths);
  if (!stream) fail<RecipeError>("{}: cannot be read", options.lengths);
  std::vector<Batch> batches;
  for (std::int64_t length = 0; stream >> length;) {
    if (length < 1 || length > shape.tokens)
      fail<DataError>("{}: {} tokens, but 1 to {} fit", options.lengths, length, shape.tokens);
    if (batches.empty() || batches.back().num_sequences() == options.rows)
      batches.emplace_back().starts.push_back(0);
    append(batches.back(), length, shape);
    batches.back().sequence_labels_B.push_back(static_cast<std::int32_t>(length % 2));
  }
  for (Batch& batch : batches) {
    const auto n = static_cast<std::size_t>(round_up(batch.num_tokens(), kRowMultiple));
    batch.tokens_N.resize(n, 0);
    batch.positions_N.resize(n, 0);
    batch.segments_N.assign(n, 0);
    batch.row_ids_N.resize(n, 0);
  }
  return batches;
}

void run(const Options& options, const Communicator& world) {
  const BenchShape& shape = bench_shapes().at("encoder-4-256");
  const RankGrid grid = make_grid(world, 1, 1);
  const recipe::Recipe recipe = recipe_of(shape, options);
  const auto model = make_phase_model(recipe, recipe.phases[0],
                                      {.vocab_size = shape.vocabulary, .label_names = {"0", "1"}},
                                      grid.tensor, &grid.pipeline);
  model->plan_micro_batches(1);
  const Shards shards = make_shards(recipe, recipe.phases[0], model->parameters(), 0, 1);
  const std::vector<Batch> batches = read_batches(options, shape);
  for (const Batch& batch : batches) model->plan_arena_bytes(batch, true);
  Optimizer optimizer(model->parameters(), recipe.phases[0], grid.tensor, shards);
  optimizer.allocate();
  model->allocate_training(GradientReducer::num_gradient_sets(1),
                           optimizer.plan_arena_bytes(model->parameters()), shards, grid.data);
  model->parameters().initialise(1, 0.02);
  GradientReducer reducer(model->exec(), model->parameters(), grid.data, shards, nullptr);
  double begin = 0, rows = 0, tokens = 0, loss = 0;
  for (int step = 0; step < static_cast<int>(batches.size()); ++step) {
    if (step == options.warmup) {
      begin = seconds_by(options.processor_time);
      if (options.kernels) watch_kernels(options.processor_time);
    }
    StepBatches one;
    one.micro_batches.push_back(batches[static_cast<std::size_t>(step)]);
    const StepRecord record =
        train_step({.step = step, .learning_rate = 1e-4, .max_grad_norm = 1.0}, one, *model,
                   reducer, optimizer, grid);
    loss = record.loss;
    if (step < options.warmup) continue;
    rows += static_cast<double>(one.micro_batches[0].num_sequences());
    tokens += static_cast<double>(one.micro_batches[0].num_tokens());
  }
  const double seconds = seconds_by(options.processor_time) - begin;
  stop_watching_kernels();
  nlohmann::json json = {{"precision", options.precision},
                         {"rows_per_second", rows / seconds},
                         {"tokens_per_second", tokens / seconds},
                         {"steps", static_cast<int>(batches.size()) - options.warmup},
                         {"peak_memory_mib", peak_memory_mib()},
                         {"loss", loss}};
  if (options.kernels)
    json["kernels"] = watched_kernels(static_cast<double>(std::ssize(batches) - options.warmup));
  std::cout << json.dump() << std::endl;
}

}  // namespace
}  // namespace polyphase

int main(int argc, char** argv) {
  polyphase::Options options;
  CLI::App app("Times fine-tuning on short texts, on one rank");
  app.add_option("--lengths", options.lengths, "file of texts' tokens, a number a line")
      ->required();
  app.add_option("--precision", options.precision)->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--rows", options.rows, "of a batch");
  app.add_option("--warmup", options.warmup, "steps that are not timed");
  app.add_flag("--processor-time", options.processor_time,
               "of the process instead of the wall's, on a busy machine: one thread");
  app.add_flag("--kernels", options.kernels, "time by kernel (costs some time itself)");
  CLI11_PARSE(app, argc, argv);
  const polyphase::MpiSession session(&argc, &argv);
  int kokkos_argc = 1;
  const Kokkos::ScopeGuard kokkos(kokkos_argc, argv);
  polyphase::run(options, session.world());
  return 0;
}
