// SPDX-License-Identifier: Apache-2.0
#include "recipe/scalars.hpp"

#include <charconv>
#include <cmath>
#include <string_view>

#include "recipe/section.hpp"

namespace polyphase::recipe {
namespace {

constexpr double kLargestExactWhole = 9007199254740992.0;  // 2^53

template <class Number>
std::optional<Number> parse_all(std::string_view text) {
  Number number{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

template <class Integer>
std::optional<Integer> whole(const Node& node) {
  if (node.kind != Node::Kind::kScalar) return std::nullopt;
  const std::optional<Integer> digits = parse_all<Integer>(node.text);
  if (digits) return digits;
  const std::optional<double> number = to_number(node);
  if (!number || std::abs(*number) > kLargestExactWhole || *number != std::floor(*number)) {
    return std::nullopt;
  }
  if (*number < 0 && !std::is_signed_v<Integer>) return std::nullopt;
  return static_cast<Integer>(*number);
}

}  // namespace

std::optional<std::int64_t> to_integer(const Node& node) { return whole<std::int64_t>(node); }

std::optional<std::uint64_t> to_unsigned(const Node& node) { return whole<std::uint64_t>(node); }

std::optional<double> to_number(const Node& node) {
  if (node.kind != Node::Kind::kScalar) return std::nullopt;
  const std::optional<double> number = parse_all<double>(node.text);
  if (!number || !std::isfinite(*number)) return std::nullopt;
  return number;
}

std::optional<double> to_seconds(const Node& node) {
  if (node.kind != Node::Kind::kScalar) return std::nullopt;
  if (node.text.find(':') == std::string::npos) {
    const std::optional<double> seconds = to_number(node);
    return seconds && *seconds >= 0 ? seconds : std::nullopt;
  }
  double total = 0;
  int num_parts = 0;
  std::string_view rest = node.text;
  for (bool more = true; more; ++num_parts) {
    const std::size_t colon = rest.find(':');
    more = colon != std::string_view::npos;
    const std::optional<std::uint32_t> part = parse_all<std::uint32_t>(rest.substr(0, colon));
    if (!part || num_parts == 3 || (num_parts > 0 && *part >= 60)) return std::nullopt;
    total = total * 60 + *part;
    if (more) rest.remove_prefix(colon + 1);
  }
  return total;
}

Range finite() {
  return {"of any size", [](double) { return true; }};
}

Range positive() {
  return {"greater than 0", [](double x) { return x > 0; }};
}

Range at_least(std::int64_t smallest) {
  return {"of at least " + std::to_string(smallest),
          [smallest](double x) { return x >= static_cast<double>(smallest); }};
}

Range fraction() {
  return {"from 0 to 1", [](double x) { return x >= 0 && x <= 1; }};
}

Range fraction_below_one() {
  return {"from 0 to below 1", [](double x) { return x >= 0 && x < 1; }};
}

Range fraction_between() {
  return {"above 0 and below 1", [](double x) { return x > 0 && x < 1; }};
}

Range fraction_above_zero() {
  return {"above 0 and at most 1", [](double x) { return x > 0 && x <= 1; }};
}

}  // namespace polyphase::recipe
