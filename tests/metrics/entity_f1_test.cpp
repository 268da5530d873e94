// SPDX-License-Identifier: Apache-2.0
#include "metrics/entity_f1.hpp"

#include <gtest/gtest.h>

#include "metrics/reference_numbers.hpp"

namespace polyphase {
namespace {

TEST(EntityF1, ScoresAreThoseOfSeqeval) {
  for (const nlohmann::json& reference : reference_numbers("entities")) {
    EntityCounts sum;
    for (std::size_t s = 0; s < reference.at("truth").size(); ++s) {
      const EntityCounts counts =
          compare_entities(reference.at("truth")[s].get<std::vector<std::string>>(),
                           reference.at("predicted")[s].get<std::vector<std::string>>());
      sum.correct += counts.correct;
      sum.predicted += counts.predicted;
      sum.there += counts.there;
    }
    const EntityScore score = entity_score(sum);
    expect_same_digits(score.precision, reference.at("precision"), "precision");
    expect_same_digits(score.recall, reference.at("recall"), "recall");
    expect_same_digits(score.f1, reference.at("f1"), "F1");
  }
}

TEST(EntityF1, InsideTagBeginsAnEntityAfterAnotherTypeOrNone) {
  const std::vector<Entity> expected = {{0, 1, "a"}, {1, 3, "b"}, {3, 4, "b"}, {5, 6, "a"}};
  EXPECT_EQ(entities_of({"B-a", "I-b", "I-b", "B-b", "O", "I-a"}), expected);
}

}  // namespace
}  // namespace polyphase
