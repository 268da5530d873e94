// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "corpus/batch.hpp"
#include "corpus/sample.hpp"

namespace polyphase {

// Lays samples one behind the other into a batch.
class BatchBuilder {
 public:
  explicit BatchBuilder(const SampleSettings& settings);

  void add(const Sample& sample, std::uint64_t global_sample);

  // Rounds rows up (batch.hpp), gives the batch away and begins the next one. Without samples: zero
  // rows.
  Batch finish();

 private:
  void add_labels(const Sample& sample, std::int32_t start);
  void begin();

  const SampleSettings settings_;
  Batch batch_;
};

}  // namespace polyphase
