// SPDX-License-Identifier: Apache-2.0
#include "recipe/optimizers.hpp"

#include "base/error.hpp"

namespace polyphase::recipe {
namespace {

struct Row {
  OptimizerKeys keys;
  Optimizer defaults;
};

// A key that a kind lacks keeps the default of the struct, which nothing reads.
const std::vector<Row>& rows() {
  static const std::vector<Row> all = {
      {{.momentum = true}, {.kind = "sgd", .learning_rate = 0.05, .weight_decay = 0.0}},
      {{.betas = true, .epsilon = true, .state_precision = true},
       {.kind = "adam", .weight_decay = 0.0}},
      {{.betas = true, .epsilon = true, .state_precision = true}, {.kind = "adamw"}},
      {{.betas = true, .epsilon = true},
       {.kind = "lamb", .learning_rate = 5e-3, .weight_decay = 0.01, .epsilon = 1e-6}},
      {{}, {.kind = "adafactor", .learning_rate = 1e-2, .weight_decay = 0.0}},
      {{.betas = true},
       {.kind = "lion", .learning_rate = 1e-4, .weight_decay = 0.1, .beta2 = 0.99}},
      {{.betas = true, .epsilon = true, .momentum = true},
       {.kind = "muon", .weight_decay = 0.1, .momentum = 0.95, .nesterov = true}},
  };
  return all;
}

const Row& row_of(const std::string& kind) {
  for (const Row& row : rows()) {
    if (row.defaults.kind == kind) return row;
  }
  POLYPHASE_PROMISE(false, "the recipe let an unknown optimizer {} through", kind);
  return rows().front();
}

}  // namespace

std::vector<std::string> optimizer_names() {
  std::vector<std::string> names;
  for (const Row& row : rows()) names.push_back(row.defaults.kind);
  return names;
}

OptimizerKeys optimizer_keys(const std::string& kind) { return row_of(kind).keys; }

Optimizer optimizer_defaults(const std::string& kind) { return row_of(kind).defaults; }

}  // namespace polyphase::recipe
