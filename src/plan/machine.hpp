// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "recipe/recipe.hpp"

// What a machine does in a second, from a file: what the time of a step is planned from.
namespace polyphase {

// A way between ranks. A message of n bytes takes latency_us + n / gb_s.
struct Link {
  double latency_us = 0;
  double gb_s = 0;  // GB/s of a rank in each direction while all ranks of its node send
  double seconds(double bytes) const { return 1e-6 * latency_us + 1e-9 * bytes / gb_s; }
};

// GFLOP/s of products of one precision, by size: the harmonic mean of their three extents, which
// says how much arithmetic there is for a byte. Between two sizes it goes with the size's
// logarithm; below the first and above the last it stays.
struct ProductRates {
  static constexpr std::array<std::int64_t, 9> kSizes = {32,   64,   128,  256, 512,
                                                         1024, 2048, 4096, 8192};
  std::array<std::optional<double>, kSizes.size()> gflops;

  bool empty() const;
  double at(double size) const;
  double best() const;
};

// What one rank has while so many ranks of its node work at once.
struct NodeRates {
  std::string name;  // that number, as the file writes it
  std::int64_t threads = 0;
  double memory_gib = 0;
  ProductRates products_f32, products_bf16;
  double attention_f32 = 0, attention_bf16 = 0;  // GFLOP/s; 0: as products of size 64
  double memory_gb_s = 0;                        // large arrays: the optimizer's
  double row_f32_gb_s = 0,
         row_bf16_gb_s = 0;  // kernels over rows, which may stay in a cache; 0: as memory_gb_s
  double kernel_us = 0;      // to start one
  std::optional<Link> link;  // to other ranks of the node
  double overlap = 0;        // share of a gradient sum that costs arithmetic nothing
  double peak_f32 = 0, peak_bf16 = 0;  // GFLOP/s that MFU is a share of; 0: the best products'

  const ProductRates& products(recipe::Precision precision) const;
  double attention_gflops(recipe::Precision precision) const;
  double row_rate_gb_s(recipe::Precision precision) const;
  double peak_gflops(recipe::Precision precision) const;
};

struct Machine {
  std::string name;
  std::int64_t ranks_a_node = 1;  // more than that go to further nodes, if there is a way to them
  std::optional<Link> between;    // nodes
  double storage_gb_s = 0;        // written, by the whole job; 0: not known
  std::map<std::int64_t, NodeRates> rates;  // by the number of ranks of a node that work at once

  std::int64_t ranks_on_node(std::int64_t num_ranks) const;
  // Those measured with as many ranks on a node or the next larger number; where there are more
  // ranks than were measured, they share what the most had.
  NodeRates rates_for(std::int64_t num_ranks) const;
};

// Throws one RecipeError that lists all faults, each with its place and what to do. The file's keys
// are in docs/planning.md.
Machine read_machine(const std::string& path);
Machine parse_machine(const std::string& yaml_text, const std::string& name_for_messages);

}  // namespace polyphase
