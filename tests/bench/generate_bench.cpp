// SPDX-License-Identifier: Apache-2.0
// Text from a model with random weights, as `polyphase generate` writes it: new tokens a second
// beside what the memory could give, since every step reads all weights once. Prints one JSON line;
// scripts/bench --generate runs it beside PyTorch.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/session.hpp"
#include "predict/generate.hpp"
#include "recipe/load.hpp"
#include "tests/bench/bench_shapes.hpp"
#include "tests/bench/watch.hpp"
#include "train/phase_model.hpp"

namespace polyphase {
namespace {

struct Options {
  std::string shape = "gpt-2", precision = "f32";
  std::int64_t prompt_tokens = 16, new_tokens = 128, texts = 1, beams = 1;
  double temperature = 0;
  int rounds = 3;
  bool kernels = false, processor_time = false;
};

recipe::Recipe recipe_of(const BenchShape& shape, const Options& options) {
  recipe::Recipe recipe = bench_recipe(shape, options.precision);
  recipe.model.max_tokens = options.prompt_tokens + options.new_tokens;
  recipe.phases[0].objectives = {{"clm", 1.0}};
  return recipe;
}

GenerationInput input_of(const BenchShape& shape, const Options& options) {
  GenerationInput input;
  for (std::int64_t text = 0; text < options.texts; ++text) {
    BenchShape prompt = shape;
    prompt.tokens = options.prompt_tokens;
    input.prompts.push_back(random_batch(prompt, 1, static_cast<std::uint64_t>(text)).tokens_N);
  }
  input.max_tokens = options.prompt_tokens + options.new_tokens;
  input.num_pieces = shape.vocabulary;
  return input;
}

// Best of some sums over memory as large as GPT-2's table of tokens, by all threads.
double read_bytes_per_second(bool processor_time) {
  constexpr std::int64_t kCount = std::int64_t{40} << 20;
  const Kokkos::View<float*, Memory> values("values", kCount);
  const float* const data = values.data();
  double best = 0;
  for (int round = 0; round < 8; ++round) {
    const double begin = seconds_by(processor_time);
    constexpr std::int64_t kBlock = 4096;
    float total = 0;
    Kokkos::parallel_reduce(
        "read", Kokkos::RangePolicy<Space>(0, kCount / kBlock),
        KOKKOS_LAMBDA(std::int64_t block, float& sum) {
          const float* const first = data + block * kBlock;
          float part = 0;
#pragma omp simd reduction(+ : part)
          for (std::int64_t i = 0; i < kBlock; ++i) part += first[i];
          sum += part;
        },
        total);
    const double rate = kCount * sizeof(float) / (seconds_by(processor_time) - begin);
    if (total == 0) best = std::max(best, rate);
  }
  return best;
}

// Of weights that products read for a token: all but tables that are only looked up.
double weight_bytes(const ParameterSet& parameters, const Options& options) {
  double count = 0;
  for (const Parameter& parameter : parameters.all()) {
    if (parameter.spec.name.ends_with("position.weight")) continue;
    count += static_cast<double>(parameter.count);
  }
  return count * (options.precision == "bf16" ? sizeof(bf16) : sizeof(float));
}

void run(const Options& options, const Communicator& world) {
  const BenchShape& shape = bench_shapes().at(options.shape);
  const recipe::Recipe recipe = recipe_of(shape, options);
  const auto model = make_phase_model(recipe, recipe.phases[0],
                                      {.vocab_size = shape.vocabulary, .label_names = {}}, world);
  model->parameters().allocate();
  model->parameters().initialise(1, 0.02);
  const GenerationInput input = input_of(shape, options);
  const GenerationSettings settings = {.max_new_tokens = options.new_tokens,
                                       .temperature = options.temperature,
                                       .beams = options.beams};
  double best = 0;
  std::int64_t num_tokens = 0;
  std::uint64_t digest = 0;
  for (int round = 0; round <= options.rounds; ++round) {  // the first prepares products
    if (round == options.rounds && options.kernels) watch_kernels(options.processor_time);
    const double begin = seconds_by(options.processor_time);
    const std::vector<Generated> all = generate(*model, input, settings);
    const double seconds = seconds_by(options.processor_time) - begin;
    num_tokens = 0;
    digest = 0;
    for (const Generated& generated : all) {
      num_tokens += static_cast<std::int64_t>(generated.tokens.size());
      for (const std::int32_t token : generated.tokens)
        digest = digest * 1000003 + static_cast<std::uint64_t>(token);
    }
    if (round > 0) best = std::max(best, static_cast<double>(num_tokens) / seconds);
  }
  stop_watching_kernels();
  const double bytes = weight_bytes(model->parameters(), options),
               memory = read_bytes_per_second(options.processor_time);
  const double steps = best / static_cast<double>(options.texts);
  if (world.rank() != 0) return;
  nlohmann::json json = {{"shape", options.shape},
                         {"precision", options.precision},
                         {"texts", options.texts},
                         {"beams", options.beams},
                         {"new_tokens", num_tokens},
                         {"digest", digest},
                         {"tokens_per_second", best},
                         {"weights_mib", bytes / (1024.0 * 1024.0)},
                         {"weights_gb_per_second", 1e-9 * bytes * steps},
                         {"memory_gb_per_second", 1e-9 * memory},
                         {"fraction", bytes * steps / memory},
                         {"peak_memory_mib", peak_memory_mib()}};
  if (options.kernels) json["kernels"] = watched_kernels(static_cast<double>(options.new_tokens));
  std::cout << json.dump() << std::endl;
}

}  // namespace
}  // namespace polyphase

int main(int argc, char** argv) {
  polyphase::Options options;
  CLI::App app("Times the generation of text");
  app.add_option("--shape", options.shape)->check(CLI::IsMember({"small-gpt", "gpt-2", "gpt-1b"}));
  app.add_option("--precision", options.precision)->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--prompt-tokens", options.prompt_tokens);
  app.add_option("--new-tokens", options.new_tokens);
  app.add_option("--texts", options.texts, "written together");
  app.add_option("--beams", options.beams);
  app.add_option("--temperature", options.temperature, "0: the likeliest token each time");
  app.add_option("--rounds", options.rounds, "the best of so many");
  app.add_flag("--processor-time", options.processor_time,
               "of the process instead of the wall's, on a busy machine: one rank of one thread");
  app.add_flag("--kernels", options.kernels, "time by kernel (costs some time itself)");
  CLI11_PARSE(app, argc, argv);
  const polyphase::MpiSession session(&argc, &argv);
  int kokkos_argc = 1;
  const Kokkos::ScopeGuard kokkos(kokkos_argc, argv);
  polyphase::run(options, session.world());
  return 0;
}
