// SPDX-License-Identifier: Apache-2.0
// The readers that scripts/fuzz tries for long, with each seed and a few changes of it, drawn the
// same way every time. No compiler of its own is needed for this.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "base/error.hpp"
#include "tests/fuzz/targets.hpp"

namespace polyphase::fuzz {
namespace {

class EveryReader : public testing::TestWithParam<std::string> {};

std::string changed(std::mt19937& random, std::string text) {
  const auto below = [&random](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
  if (text.empty()) return text;
  switch (random() % 4) {
    case 0:  // a bit
      text[below(text.size())] ^= static_cast<char>(1U << below(8));
      return text;
    case 1:  // some bytes become others
      for (std::size_t i = 0; i <= below(4); ++i)
        text[below(text.size())] = static_cast<char>(random());
      return text;
    case 2: {  // a stretch comes twice, or is gone
      const std::size_t begin = below(text.size()), count = below(text.size() - begin) + 1;
      if (random() % 2 == 0) return text.insert(begin, text.substr(begin, count));
      return text.erase(begin, count);
    }
    default:  // the rest is cut off
      return text.substr(0, below(text.size()));
  }
}

TEST_P(EveryReader, ReadsOrRefusesWhatComes) {
  const Target& target = target_named(GetParam());
  std::mt19937 random(20240601);
  for (const std::string& seed : target.seeds()) {
    target.read(seed);
    for (int i = 0; i < 40; ++i) target.read(changed(random, seed));
  }
}

std::string repeated(const char* text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

// A JSON text with each of its values in turn replaced by one that is nested that deep; none of a
// text that is not JSON.
std::vector<std::string> with_deep_values(const std::string& text) {
  constexpr int kLevels = 30000;
  const std::string lists = repeated("[", kLevels) + repeated("]", kLevels);
  const std::string objects = repeated(R"({"from":)", kLevels) + "1" + repeated("}", kLevels);
  const nlohmann::json sound = nlohmann::json::parse(text, nullptr, false);
  std::vector<std::string> deep;
  if (!sound.is_structured()) return deep;
  const nlohmann::json places = sound.flatten();
  for (const auto& place : places.items()) {
    nlohmann::json marked = sound;
    marked.at(nlohmann::json::json_pointer(place.key())) = "@";
    const std::string changed = marked.dump();
    const std::size_t at = changed.find(R"("@")");
    for (const std::string& value : {lists, objects})
      deep.push_back(std::string(changed).replace(at, 3, value));
  }
  return deep;
}

class EveryJsonReader : public testing::TestWithParam<std::string> {};

TEST_P(EveryJsonReader, NeedsNoStackForEachLevelOfAFile) {
  const Target& target = target_named(GetParam());
  for (const std::string& seed : target.seeds()) {
    for (const std::string& text : with_deep_values(seed)) target.read(text);
    for (std::string text : with_deep_values(seed + "}")) {  // without its end, which a seal makes
      text.pop_back();
      target.read(text);
    }
    std::istringstream lines(seed);
    for (std::string line; std::getline(lines, line);) {
      for (const std::string& text : with_deep_values(line)) target.read(text + "\n");
    }
  }
}

std::vector<std::string> names(bool of_json_alone) {
  std::vector<std::string> all;
  for (const Target& target : targets()) {
    if (target.is_json || !of_json_alone) all.push_back(target.name);
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Fuzz, EveryReader, testing::ValuesIn(names(false)),
                         [](const auto& info) { return info.param; });
INSTANTIATE_TEST_SUITE_P(Fuzz, EveryJsonReader, testing::ValuesIn(names(true)),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace polyphase::fuzz
