// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/error.hpp"
#include "io/file.hpp"
#include "io/hdf5_layout.hpp"

namespace polyphase {

// Positions 0 … limit in the file, of which the last blocks that were used stay in memory.
class CachedStarts {
 public:
  // Whether two neighbours may be equal: a document may have no label.
  enum class Steps { kRising, kNotFalling };

  CachedStarts(const CheckedFile& file, const hdf5::StoredDataset& stored, std::int64_t limit,
               const char* name, Steps steps = Steps::kRising)
      : file_(file), stored_(stored), limit_(limit), name_(name), steps_(steps) {}

  std::int64_t size() const { return stored_.shape[0]; }

  std::int64_t at(std::int64_t i) {
    const std::int64_t block = i / kBlock;
    const auto slot = static_cast<std::size_t>(block % kSlots);
    if (tags_[slot] != block) load(block, slot);
    return blocks_[slot][static_cast<std::size_t>(i % kBlock)];
  }

 private:
  static constexpr std::int64_t kBlock = 128;   // values: a miss costs one read of 1 KiB
  static constexpr std::int64_t kSlots = 4096;  // blocks: 4 MiB a list of starts

  void load(std::int64_t block, std::size_t slot) {
    const std::int64_t first = block * kBlock;
    const std::int64_t count = std::min(kBlock, size() - first);
    std::vector<std::int64_t>& values = blocks_[slot];
    tags_[slot] = -1;
    values.resize(static_cast<std::size_t>(count));
    file_.read_at(stored_.offset + first * 8, values.data(), count * 8);
    const bool equal_allowed = steps_ == Steps::kNotFalling;
    const auto descent = std::adjacent_find(
        values.begin(), values.end(),
        [&](std::int64_t a, std::int64_t b) { return equal_allowed ? a > b : a >= b; });
    const bool ends_hold =
        (first > 0 || values.front() == 0) && (first + count < size() || values.back() == limit_);
    if (descent != values.end() || values.front() < 0 || values.back() > limit_ || !ends_hold) {
      const std::int64_t where = descent == values.end() ? 0 : descent - values.begin();
      fail<DataError>(
          "{}: {} do not rise from 0 to {} (look near number {}); the file was altered: "
          "prepare the corpus again",
          file_.path().string(), name_, limit_, first + where);
    }
    tags_[slot] = block;
  }

  const CheckedFile& file_;
  hdf5::StoredDataset stored_;
  std::int64_t limit_;
  const char* name_;
  Steps steps_;
  std::vector<std::int64_t> tags_ = std::vector<std::int64_t>(kSlots, -1);
  std::vector<std::vector<std::int64_t>> blocks_ = std::vector<std::vector<std::int64_t>>(kSlots);
};

}  // namespace polyphase
