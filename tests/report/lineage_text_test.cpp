// SPDX-License-Identifier: Apache-2.0
#include "report/lineage_text.hpp"

#include <gtest/gtest.h>

namespace polyphase::report {
namespace {

TEST(LineageText, IsATreeWithTheYoungestFirst) {
  Lineage base = {.run = "base",
                  .phase = "pretrain",
                  .step = 30,
                  .digest = "0123456789abcdef",
                  .seed = 1,
                  .versions = {"0.1.0"},
                  .tokenizer = "tttttttttttttttt",
                  .corpora = {{"text", "xxxxxxxxxxxxxxxx"}}};
  Lineage made = {.run = "small",
                  .phase = "maker",
                  .digest = "dddddddddddddddd",
                  .seed = 9,
                  .versions = {"0.1.0"},
                  .tokenizer = "tttttttttttttttt",
                  .corpora = {{"given", "gggggggggggggggg"}},
                  .from = std::make_shared<const Lineage>(base),
                  .generation = {{"beams", 4}, {"texts", 20}}};
  Lineage old = {.phase = "big", .step = 5, .digest = "ffffffffffffffff"};
  const Lineage lineage = {.run = "small",
                           .round = 2,
                           .phase = "topic",
                           .step = 12,
                           .seed = 9,
                           .versions = {"0.1.0", "0.2.0"},
                           .changes = {"phases.topic.dropout: 0.1 → 0.2"},
                           .tokenizer = "tttttttttttttttt",
                           .corpora = {{"a", "aaaaaaaaaaaaaaaa"}, {"b", "bbbbbbbbbbbbbbbb"}},
                           .from = std::make_shared<const Lineage>(base),
                           .teacher = std::make_shared<const Lineage>(old),
                           .made = {{"b", std::make_shared<const Lineage>(made)}}};
  const std::vector<std::string> expected = {
      "topic, step 12, of run small, round 2",
      "  seed 9, polyphase 0.1.0, 0.2.0",
      "  data: a aaaaaaaaaaaa, b bbbbbbbbbbbb, tokenizer tttttttttttt",
      "  b made by maker, of run small, text dddddddddddd",
      "    seed 9, polyphase 0.1.0",
      "    data: given gggggggggggg, tokenizer tttttttttttt",
      "    generation: beams 4, texts 20",
      "    from pretrain, step 30, of run base, checkpoint 0123456789ab",
      "      seed 1, polyphase 0.1.0",
      "      data: text xxxxxxxxxxxx, tokenizer tttttttttttt",
      "      from scratch",
      "  changed: phases.topic.dropout: 0.1 → 0.2",
      "  from pretrain, step 30, of run base, checkpoint 0123456789ab",
      "    seed 1, polyphase 0.1.0",
      "    data: text xxxxxxxxxxxx, tokenizer tttttttttttt",
      "    from scratch",
      "  taught by big, step 5, checkpoint ffffffffffff",
      "    nothing else is known: an older program wrote it"};
  EXPECT_EQ(lineage_lines(lineage), expected);
}

}  // namespace
}  // namespace polyphase::report
