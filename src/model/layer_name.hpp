// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace polyphase {

// The parts of "decoder.layers.3.attention.query.weight".
struct LayerName {
  std::string stack;  // "decoder."; of a model's only or first stack ""
  std::int64_t number = 0;
  std::string rest;  // "attention.query.weight"

  std::string text() const;
  // Whether it is of the product that writes its sublayer's result to the residual stream.
  bool writes_to_residual() const;
};

// Nothing for a parameter outside of layers.
std::optional<LayerName> layer_name(const std::string& parameter);

}  // namespace polyphase
