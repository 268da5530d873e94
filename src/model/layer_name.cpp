// SPDX-License-Identifier: Apache-2.0
#include "model/layer_name.hpp"

namespace polyphase {
namespace {

constexpr const char* kWord = "layers.";

}  // namespace

std::string LayerName::text() const { return stack + kWord + std::to_string(number) + "." + rest; }

bool LayerName::writes_to_residual() const {
  for (const char* product :
       {"attention.output.", "cross_attention.output.", "feed_forward.out."}) {
    if (rest.starts_with(product)) return true;
  }
  return false;
}

std::optional<LayerName> layer_name(const std::string& parameter) {
  const std::size_t at = parameter.find(kWord);
  if (at == std::string::npos) return std::nullopt;
  const std::size_t digits = at + std::string(kWord).size();
  const std::size_t dot = parameter.find('.', digits);
  if (dot == std::string::npos) return std::nullopt;
  return LayerName{.stack = parameter.substr(0, at),
                   .number = std::stoll(parameter.substr(digits, dot - digits)),
                   .rest = parameter.substr(dot + 1)};
}

}  // namespace polyphase
