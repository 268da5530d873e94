// SPDX-License-Identifier: Apache-2.0
// Whole training steps on random tokens: rate, fraction of the product library's own rate in the
// same run, peak memory, and time by kernel. scripts/bench runs it for every shape, precision and
// layout; each run prints one JSON line on rank 0.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "comm/session.hpp"
#include "kernels/matmul.hpp"
#include "plan/plan_time.hpp"
#include "recipe/load.hpp"
#include "tests/bench/bench_shapes.hpp"
#include "tests/bench/watch.hpp"
#include "train/step.hpp"

namespace polyphase {
namespace {

const std::map<std::string, recipe::Recompute> kRecompute = {
    {"none", recipe::Recompute::kNone},
    {"selective", recipe::Recompute::kSelective},
    {"full", recipe::Recompute::kFull}};

const std::map<std::string, recipe::Shard> kShard = {{"none", recipe::Shard::kNone},
                                                     {"gradients", recipe::Shard::kGradients},
                                                     {"optimizer", recipe::Shard::kOptimizer}};

const char* objective_of(const BenchShape& shape) {
  if (shape.source_tokens > 0) return "span";
  return is_causal(shape) ? "clm" : "mlm";
}

// Span corruption that makes sources and targets as long as the shape's: one span of a text.
void cut_one_span(const BenchShape& shape, recipe::Recipe& recipe) {
  recipe::Phase& phase = recipe.phases[0];
  // A target is a first token, the sentinel, and the span; a source what is left, and two more.
  const std::int64_t span = shape.tokens - 2, text = shape.source_tokens - 2 + span;
  recipe.model.max_tokens = text + 2;
  phase.mask_fraction = static_cast<double>(span) / static_cast<double>(text);
  phase.span_tokens = static_cast<double>(span);
}

recipe::Recipe recipe_of(const BenchShape& shape, const std::string& precision,
                         const std::string& recompute, std::int64_t micro_batch, double dropout) {
  recipe::Recipe recipe = bench_recipe(shape, precision);
  recipe.recompute = kRecompute.at(recompute);
  recipe.model.dropout = recipe.model.attention_dropout = dropout;
  recipe::Phase& phase = recipe.phases[0];
  phase.objectives = {{objective_of(shape), 1.0}};
  if (shape.source_tokens > 0) cut_one_span(shape, recipe);
  phase.batch = {.sequences = shape.sequences, .micro_batch = micro_batch};
  return recipe;
}

// The product library's own rate in GFLOP/s at the shape that a layer spends most time in: rows × 4
// width × width.
template <class Real>
double product_rate(std::int64_t m, std::int64_t n, std::int64_t k) {
  Kokkos::View<Real**, Kokkos::LayoutRight, Memory> a("a", m, k), b("b", n, k);
  Kokkos::View<Real**, Kokkos::LayoutRight, Memory> y("y", m, n);
  const Kokkos::View<std::byte*, Memory> workspace("workspace", std::size_t{256} << 20);
  Arena arena(workspace.data(), workspace.extent(0));
  const Exec exec = {.space = {}, .arena = &arena};
  double best = 0;
  for (int round = 0; round < 12; ++round) {
    const double begin = now_seconds();
    for (int i = 0; i < 4; ++i) {
      matmul<Real, Real>(exec, Tensor2<Real>(y.data(), m, n), Tensor2<const Real>(a.data(), m, k),
                         Transpose::kNo, Tensor2<const Real>(b.data(), n, k), Transpose::kYes);
    }
    exec.space.fence();
    best = std::max(best, 4 * 2e-9 * static_cast<double>(m * n * k) / (now_seconds() - begin));
  }
  return best;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Options {
  std::string shape = "encoder-4-256", precision = "f32", recompute = "none", shard = "none",
              state_precision = "f32";
  int steps = 12, warmup = 3, tensor = 1, pipeline = 1, interleave = 1, micro_batches = 1,
      sequences = 0;
  double dropout = 0;
  bool sequence = false;
  bool kernels = false;
  bool processor_time = false;
  std::string machine;  // file of rates that the step's time is planned from
};

// What `polyphase plan --machine` says of the same step.
nlohmann::json planned(const Options& options, recipe::Recipe recipe, const BenchShape& shape,
                       std::int64_t num_data_ranks) {
  recipe.tokenizer.vocab_size = shape.vocabulary;
  recipe.parallel.tensor = options.tensor;
  recipe.parallel.pipeline = options.pipeline;
  recipe.parallel.interleave = options.interleave;
  const PlannedTime time = plan_time(count_step(recipe, recipe.phases[0], num_data_ranks),
                                     {.tensor = options.tensor,
                                      .pipeline = options.pipeline,
                                      .data = num_data_ranks,
                                      .shard = recipe.parallel.shard,
                                      .recompute = recipe.recompute,
                                      .interleave = options.interleave},
                                     read_machine(options.machine));
  return {{"step_milliseconds", 1e3 * time.step_seconds()},
          {"products", 1e3 * time.product_seconds},
          {"attention", 1e3 * time.attention_seconds},
          {"rows", 1e3 * time.row_seconds},
          {"update", 1e3 * time.update_seconds},
          {"tensor_sums", 1e3 * time.tensor_sums.seconds},
          {"data_sums", 1e3 * time.exposed_data_seconds},
          {"mfu", time.mfu}};
}

void run(const Options& options, const Communicator& world) {
  BenchShape shape = bench_shapes().at(options.shape);
  if (options.sequences > 0) shape.sequences = options.sequences;
  const RankGrid grid = make_grid(world, options.tensor, options.pipeline);
  const std::int64_t micro_batch = shape.sequences / grid.data.size() / options.micro_batches;
  if (micro_batch * grid.data.size() * options.micro_batches != shape.sequences ||
      shape.heads % options.tensor != 0) {
    fail<RecipeError>(
        "{} has {} sequences and {} heads, which {} ranks with {} micro-batches do not divide",
        options.shape, shape.sequences, shape.heads, world.size(), options.micro_batches);
  }
  recipe::Recipe recipe =
      recipe_of(shape, options.precision, options.recompute, micro_batch, options.dropout);
  recipe.parallel.shard = kShard.at(options.shard);
  if (options.state_precision == "bf16")
    recipe.phases[0].optimizer.state_precision = recipe::Precision::kBf16;
  recipe.parallel.sequence = options.sequence;
  recipe.parallel.interleave = options.interleave;
  const auto model = make_phase_model(recipe, recipe.phases[0],
                                      {.vocab_size = shape.vocabulary, .label_names = {}},
                                      grid.tensor, &grid.pipeline);
  model->plan_micro_batches(options.micro_batches);
  const Shards shards = make_shards(recipe, recipe.phases[0], model->parameters(), grid.data.rank(),
                                    grid.data.size());
  StepBatches batches;
  for (int m = 0; m < options.micro_batches; ++m) {
    const std::int64_t key = micro_batch_number(dealing_of(shards), grid.data.rank(),
                                                grid.data.size(), m, options.micro_batches);
    batches.micro_batches.push_back(
        random_batch(shape, micro_batch, static_cast<std::uint64_t>(key)));
  }
  for (const Batch& batch : batches.micro_batches) model->plan_arena_bytes(batch, true);
  Optimizer optimizer(model->parameters(), recipe.phases[0], grid.tensor, shards);
  optimizer.allocate();
  model->allocate_training(GradientReducer::num_gradient_sets(options.micro_batches),
                           optimizer.plan_arena_bytes(model->parameters()), shards, grid.data);
  model->parameters().initialise(1, 0.02);
  GradientReducer reducer(model->exec(), model->parameters(), grid.data, shards,
                          options.sequence ? &grid.tensor : nullptr);

  std::vector<double> seconds, waits, tensor_waits, pipeline_waits;
  double loss = 0;
  for (int step = 0; step < options.warmup + options.steps; ++step) {
    if (step == options.warmup && options.kernels) watch_kernels(options.processor_time);
    world.barrier();
    const double begin = seconds_by(options.processor_time);
    const auto dropout = static_cast<float>(options.dropout);
    const StepRecord record =
        train_step({.step = step,
                    .learning_rate = 1e-4,
                    .max_grad_norm = 1.0,
                    .dropout = {.hidden = dropout, .attention = dropout, .key = 1}},
                   batches, *model, reducer, optimizer, grid);
    world.barrier();
    loss = record.loss;
    if (step < options.warmup) continue;
    seconds.push_back(seconds_by(options.processor_time) - begin);
    waits.push_back(record.data_wait_seconds);
    tensor_waits.push_back(record.tensor_wait_seconds);
    pipeline_waits.push_back(record.pipeline_wait_seconds);
  }
  // Of the ranks that need the most.
  const auto most = [&world](double mine) {
    const std::vector<double> all = world.gather(std::vector{mine});
    return *std::max_element(all.begin(), all.end());
  };
  const double peak = most(peak_memory_mib());
  const double arena = most(static_cast<double>(model->arena_capacity_bytes()) / (1024.0 * 1024.0));
  const double links = most(static_cast<double>(model->held_link_bytes()) / (1024.0 * 1024.0));
  const double state =
      most(static_cast<double>(optimizer.state_bytes(grid.data.rank())) / (1024.0 * 1024.0));
  stop_watching_kernels();  // what follows is not training

  double targets = 0;
  for (const Batch& batch : batches.micro_batches)
    targets += static_cast<double>(model->num_terms(batch)[0]);
  double all_targets = 0;
  for (const double part : grid.data.gather(std::vector{targets})) all_targets += part;
  const std::int64_t rows = micro_batch * std::max(shape.tokens, shape.source_tokens);
  const double own = options.precision == "bf16"
                         ? product_rate<bf16>(rows, 4 * shape.width, shape.width)
                         : product_rate<float>(rows, 4 * shape.width, shape.width);
  double products = 0;  // of all ranks at once
  for (const double rate : world.gather(std::vector{own})) products += rate;
  if (world.rank() != 0) return;
  const double step_seconds = median(seconds);
  const double gflops = 1e-9 * step_flops(shape, all_targets) / step_seconds;
  nlohmann::json json = {
      {"shape", options.shape},
      {"precision", options.precision},
      {"layout",
       fmt::format("{} × {} threads, {}", world.size(), Space().concurrency(),
                   recipe::layout_words(options.tensor, options.pipeline, grid.data.size()))},
      {"interleave", options.interleave},
      {"dropout", options.dropout},
      {"recompute", options.recompute},
      {"shard", options.shard},
      {"state_precision", options.state_precision},
      {"sequence", options.sequence},
      {"state_mib", state},
      {"arena_mib", static_cast<double>(model->arena_peak_bytes()) / (1024.0 * 1024.0)},
      {"planned_arena_mib", arena},
      {"links_mib", links},
      {"tokens_per_second", static_cast<double>(shape.tokens_of_step()) / step_seconds},
      {"step_milliseconds", 1e3 * step_seconds},
      {"gflops", gflops},
      {"product_gflops", products},
      {"fraction", gflops / products},
      {"data_wait_milliseconds", 1e3 * median(waits)},
      {"tensor_wait_milliseconds", 1e3 * median(tensor_waits)},
      {"pipeline_wait_milliseconds", 1e3 * median(pipeline_waits)},
      {"peak_memory_mib", peak},
      {"loss", loss}};
  if (!options.machine.empty()) json["planned"] = planned(options, recipe, shape, grid.data.size());
  if (options.kernels) json["kernels"] = watched_kernels(options.steps);
  std::cout << json.dump() << std::endl;
}

}  // namespace
}  // namespace polyphase

int main(int argc, char** argv) {
  polyphase::Options options;
  CLI::App app("Times whole training steps");
  app.add_option("--shape", options.shape)->check(CLI::IsMember(polyphase::bench_shapes()));
  app.add_option("--precision", options.precision)->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--recompute", options.recompute)->check(CLI::IsMember(polyphase::kRecompute));
  app.add_option("--state-precision", options.state_precision, "of moments")
      ->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--shard", options.shard)->check(CLI::IsMember(polyphase::kShard));
  app.add_option("--sequences", options.sequences, "of a step; 0: the shape's own");
  app.add_option("--steps", options.steps);
  app.add_option("--warmup", options.warmup);
  app.add_option("--tensor", options.tensor);
  app.add_option("--pipeline", options.pipeline, "stages");
  app.add_option("--interleave", options.interleave, "chunks of layers of each stage");
  app.add_flag("--sequence", options.sequence, "tensor-parallel ranks divide rows, too");
  app.add_option("--micro-batches", options.micro_batches, "of a step on one rank");
  app.add_option("--dropout", options.dropout);
  app.add_flag("--processor-time", options.processor_time,
               "of the process instead of the wall's, on a busy machine: one rank of one thread");
  app.add_option("--machine", options.machine, "machine file: also the planned time of the step");
  app.add_flag("--kernels", options.kernels, "time by kernel (costs some time itself)");
  CLI11_PARSE(app, argc, argv);
  const polyphase::MpiSession session(&argc, &argv);
  int kokkos_argc = 1;
  const Kokkos::ScopeGuard kokkos(kokkos_argc, argv);
  polyphase::run(options, session.world());
  return 0;
}
