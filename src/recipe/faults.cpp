// SPDX-License-Identifier: Apache-2.0
#include "recipe/faults.hpp"

#include "base/error.hpp"

namespace polyphase::recipe {
namespace {

constexpr std::size_t kMaxFaultsShown = 100;
constexpr std::size_t kMaxQuotedBytes = 60;
constexpr std::size_t kMaxSuggestedBytes = 64;  // the edit distance is quadratic in the word

}  // namespace

void Faults::add(const Place& place, const std::string& message) {
  lines_.emplace(place.order, fmt::format("{}: {}", place.text, message));
  ++num_faults_at_[place.text];
}

void Faults::add_unless_known(const Place& place, const std::string& message) {
  if (num_faults_at_.count(place.text) == 0) add(place, message);
}

void Faults::append(const Faults& other) {
  lines_.insert(other.lines_.begin(), other.lines_.end());
  for (const auto& [place, count] : other.num_faults_at_) num_faults_at_[place] += count;
}

void Faults::throw_if_any() const {
  if (lines_.empty()) return;
  std::string all;
  std::size_t num_shown = 0;
  for (const auto& [order, line] : lines_) {
    if (num_shown == kMaxFaultsShown) {
      all += fmt::format("\n… and {} more faults", lines_.size() - num_shown);
      break;
    }
    if (num_shown++ > 0) all += '\n';
    all += line;
  }
  throw RecipeError(all);
}

std::string quoted(const std::string& text) {
  std::string shown = "\"";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool starts_character = (byte & 0xC0U) != 0x80U;
    if (shown.size() > kMaxQuotedBytes && starts_character) return shown + "…\"";
    if (byte < 0x20 || byte == 0x7F) {
      shown += fmt::format("\\x{:02x}", byte);
    } else {
      shown += text[i];
    }
  }
  return shown + "\"";
}

std::string alternatives(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

std::string suggestion(const std::string& word, const std::vector<std::string>& candidates,
                       const std::string& what) {
  if (word.size() <= kMaxSuggestedBytes) {
    const std::string near = nearest(word, candidates);
    if (!near.empty()) return fmt::format("; did you mean \"{}\"?", near);
  }
  if (candidates.empty()) return fmt::format("; there are no {}", what);
  return fmt::format("; {} are {}", what, fmt::format("{}", fmt::join(candidates, ", ")));
}

}  // namespace polyphase::recipe
