// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "io/checkpoint.hpp"

// A small model of known values, written by any number of writers.
namespace polyphase::testing_checkpoint {

struct Tensor {
  std::string name;
  std::vector<std::int64_t> shape;
};

inline const std::vector<Tensor> kTensors = {
    {"parameters/layers.0.attention.query.weight", {8, 6}},
    {"parameters/layers.0.norm.gain", {7}},
    {"parameters/blocks", {5, 4, 3}},
    {"optimizer/moment1/layers.0.attention.query.weight", {8, 6}},
};

// The value of element i of a tensor: exact in float32.
inline float value_at(const std::string& name, std::int64_t i) {
  return static_cast<float>(name.size()) * 1000.0F + static_cast<float>(i) + 0.25F;
}

inline std::vector<float> whole_values(const Tensor& tensor) {
  std::int64_t count = 1;
  for (const std::int64_t extent : tensor.shape) count *= extent;
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(value_at(tensor.name, i));
  return values;
}

// The part `index` of `num_parts` along a dimension, by plain loops; dimensions that the tensor
// lacks mean -1.
struct Slice {
  int dimension = -1;
  std::int64_t begin = 0;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

inline Slice slice_of(const Tensor& tensor, int dimension, int index, int num_parts) {
  Slice slice{dimension, 0, tensor.shape, {}};
  if (dimension < 0 || dimension >= static_cast<int>(tensor.shape.size())) {
    slice.dimension = -1;
    slice.values = whole_values(tensor);
    return slice;
  }
  const auto d = static_cast<std::size_t>(dimension);
  const std::int64_t extent = tensor.shape[d];
  slice.begin = extent * index / num_parts;
  slice.shape[d] = extent * (index + 1) / num_parts - slice.begin;
  std::int64_t inner = 1;
  for (std::size_t e = d + 1; e < tensor.shape.size(); ++e) inner *= tensor.shape[e];
  const std::vector<float> whole = whole_values(tensor);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const std::int64_t row = static_cast<std::int64_t>(i) / inner % extent;
    if (row >= slice.begin && row < slice.begin + slice.shape[d]) slice.values.push_back(whole[i]);
  }
  return slice;
}

// Writes kTensors split along `dimension` over the writers; whole ones (dimension -1) are spread,
// one a writer.
inline void write_checkpoint(const std::filesystem::path& folder, int num_writers, int dimension,
                             std::int64_t step) {
  const std::filesystem::path tmp = folder.string() + ".tmp";
  std::vector<PartReport> reports;
  for (int writer = 0; writer < num_writers; ++writer) {
    std::vector<Slice> slices;
    std::vector<TensorPart> parts;
    for (const Tensor& tensor : kTensors)
      slices.push_back(slice_of(tensor, dimension, writer, num_writers));
    for (std::size_t t = 0; t < kTensors.size(); ++t) {
      const Slice& slice = slices[t];
      if (slice.dimension < 0 && static_cast<int>(t) % num_writers != writer) continue;
      parts.push_back({kTensors[t].name, kTensors[t].shape, slice.dimension, slice.begin,
                       slice.shape, slice.values.data()});
    }
    reports.push_back(write_checkpoint_part(tmp, writer, parts));
  }
  std::reverse(reports.begin(), reports.end());  // reports arrive in any order
  commit_checkpoint(tmp, folder, reports, {{"step", step}, {"loss", 0.1}});
}

inline void expect_reads_back(CheckpointReader& reader, int num_readers, int dimension) {
  for (const Tensor& tensor : kTensors) {
    for (int index = 0; index < num_readers; ++index) {
      const Slice expected = slice_of(tensor, dimension, index, num_readers);
      std::vector<float> got(expected.values.size(), -1.0F);
      reader.read(tensor.name, expected.dimension, expected.begin, expected.shape, got.data());
      EXPECT_EQ(got, expected.values) << tensor.name << " part " << index << " of " << num_readers;
    }
  }
}

}  // namespace polyphase::testing_checkpoint
