// SPDX-License-Identifier: Apache-2.0
// Phases that make a corpus, and the corpora that they make.
#include <gtest/gtest.h>

#include "recipe/goals.hpp"
#include "recipe/variants.hpp"
#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

const std::string kRoad = R"(name: back
tokenizer: {vocab_size: 500}
corpora:
  captions: {kind: generation, train: [a.en, a.de], valid: [v.en, v.de]}
  reversed: {kind: generation, train: [a.de, a.en]}
  german: {kind: text, files: [mono.de], valid_fraction: 0}
  labels: {kind: classification, train: t.tsv}
  back: {kind: generation, made_by: back-translate}
model: {family: t5, num_layers: 2, width: 32, num_heads: 4, max_tokens: 64}
phases:
  - {name: de-en, task: {kind: generation}, data: {reversed: 1.0}, stop: {epochs: 1}}
  - {name: back-translate, from: de-en, generate: {of: german, beams: 4}}
  - {name: en-de, task: {kind: generation}, data: {captions: 1.0, back: 1.0}, stop: {epochs: 1}}
)";
const std::string kMaker = "from: de-en, generate: {of: german, beams: 4}";
const std::string kMade = "made_by: back-translate}";

std::string road_with(const std::string& old_text, const std::string& new_text) {
  std::string text = kRoad;
  const std::size_t at = text.find(old_text);
  POLYPHASE_PROMISE(at != std::string::npos, "the road has no {}", old_text);
  return text.replace(at, old_text.size(), new_text);
}

void expect_fault(const std::string& text, const std::string& fault) {
  EXPECT_EQ(faults_of(text), "r.yaml:" + fault);
}

TEST(Generation, KeysAreReadAndWritten) {
  const Recipe recipe = parse(
      road_with("beams: 4", "temperature: 0.8, top_k: 10, top_p: 0.9, max_new_tokens: 30"), "r");
  const Recipe again = parse(resolved(recipe), "again");
  for (const Recipe& read : {recipe, again}) {
    const Phase& phase = read.phases[1];
    ASSERT_TRUE(phase.generate);
    EXPECT_EQ(phase.generate->of, "german");
    EXPECT_EQ(phase.generate->temperature, 0.8);
    EXPECT_EQ(phase.generate->top_k, 10);
    EXPECT_EQ(phase.generate->top_p, 0.9);
    EXPECT_EQ(phase.generate->max_new_tokens, 30);
    EXPECT_EQ(phase.generate->beams, 1);
    EXPECT_EQ(goal_name(phase), "generate");
    EXPECT_EQ(find_corpus(read, "back")->made_by, "back-translate");
  }
  EXPECT_EQ(resolved(again), resolved(recipe));
}

TEST(Generation, APhaseDependsOnWhatMakesItsCorpora) {
  const Recipe recipe = parse(kRoad, "r");
  EXPECT_EQ(makers_of(recipe, recipe.phases[2]), std::vector<std::string>{"back-translate"});
  EXPECT_TRUE(makers_of(recipe, recipe.phases[0]).empty());
  EXPECT_EQ(road_to(recipe, "en-de"), (std::vector<std::size_t>{0, 1, 2}));
  const auto hash_with = [](const std::string& old_text, const std::string& new_text) {
    return phase_hash(parse(road_with(old_text, new_text), "r"), 2);
  };
  const std::string before = phase_hash(recipe, 2);
  EXPECT_NE(hash_with("beams: 4", "beams: 2"), before);
  EXPECT_NE(hash_with("mono.de", "other.de"), before);
  EXPECT_NE(hash_with("data: {reversed: 1.0}", "data: {reversed: 1.0}, dropout: 0.2"), before);
  EXPECT_EQ(hash_with("t.tsv", "u.tsv"), before);
}

TEST(Generation, WhatIsMadeIsNotPreparedNorTrainsTheTokenizer) {
  const Recipe recipe = parse(road_with("german: {kind: text, files: [mono.de], valid_fraction: 0}",
                                        "german: {kind: generation, train: [m.de, m.en]}"),
                              "r");
  EXPECT_EQ(tokenizer_corpora(recipe),
            (std::vector<std::string>{"captions", "reversed", "german", "labels"}));
  EXPECT_EQ(find_corpus(without_made_corpora(recipe), "back"), nullptr);
  EXPECT_EQ(without_made_corpora(recipe).corpora.size(), 4U);
  expect_fault(road_with("vocab_size: 500", "vocab_size: 500, corpora: [captions, back]"),
               "2:50: tokenizer.corpora names \"back\", which is made only when the tokenizer is "
               "there; name corpora that are given");
}

TEST(Generation, MadeByNamesAPhaseThatMakesACorpus) {
  EXPECT_EQ(faults_of(road_with(kMade, "made_by: back-trnslate}")),
            "r.yaml:8:37: corpora.back.made_by names no phase \"back-trnslate\"; did you mean "
            "\"back-translate\"?\n"
            "r.yaml:12:51: no corpus is made by phases.back-translate; give what it makes a name: "
            "corpora: {NAME: {kind: generation, made_by: back-translate}}");
  EXPECT_EQ(faults_of(road_with(kMade, "made_by: de-en}")),
            "r.yaml:8:37: corpora.back.made_by is \"de-en\", which trains for generation; a phase "
            "with the key generate makes a corpus\n"
            "r.yaml:12:51: no corpus is made by phases.back-translate; give what it makes a name: "
            "corpora: {NAME: {kind: generation, made_by: back-translate}}");
  expect_fault(road_with(kMade, kMade + "\n  twice: {kind: generation, made_by: back-translate}"),
               "9:38: corpora.twice.made_by is \"back-translate\", which makes the corpus \"back\" "
               "already; name that one");
}

TEST(Generation, AMadeCorpusHasNoOtherKeys) {
  expect_fault(road_with(kMade, "made_by: back-translate, valid: [v.en, v.de]}"),
               "8:60: corpora.back.valid has no meaning beside made_by, which makes the training "
               "part alone; remove it, and measure on a corpus that is given");
  expect_fault(
      road_with(kMade, "made_by: back-translate, train: [a.en, a.de]}"),
      "8:60: corpora.back.train has no meaning beside made_by, which tells where the texts "
      "come from; remove one of them");
  expect_fault(road_with("back: {kind: generation", "back: {kind: text"),
               "8:16: corpora.back.kind is text, but a phase makes pairs of texts; write kind: "
               "generation\nr.yaml:13:67: the corpus \"back\" is of kind text; the task generation "
               "needs one of kind generation");
  EXPECT_EQ(faults_of(road_with(kMade, "made_by: back-translate, max_train_samples: 9}")), "");
}

TEST(Generation, APhaseThatMakesACorpusTrainsNothing) {
  expect_fault(
      road_with(kMaker, kMaker + ", task: {kind: generation}"),
      "12:81: phases.back-translate.task has no meaning beside generate: the phase makes a "
      "corpus and trains nothing; remove one of them");
  expect_fault(
      road_with(kMaker, kMaker + ", stop: {steps: 3}"),
      "12:81: phases.back-translate.stop has no meaning beside generate: the phase makes a "
      "corpus and trains nothing; remove one of them");
  EXPECT_EQ(faults_of(road_with(kMaker, kMaker + ", slurm: {time: \"1:00:00\"}")), "");
}

TEST(Generation, TheModelIsOfAGenerationPhaseOfThisRecipe) {
  expect_fault(road_with("from: de-en, ", ""),
               "12:5: phases.back-translate.from is missing: the phase whose model writes the "
               "texts");
  expect_fault(road_with("from: de-en, ", "from: {run: runs/other}, "),
               "12:34: phases.back-translate.from names another run; a phase of this recipe must "
               "have the model: let one start from that run, and name it here");
  expect_fault(road_with("{name: de-en, task: {kind: generation}, data: {reversed: 1.0}",
                         "{name: de-en, task: {kind: classification}, data: {labels: 1.0}"),
               "12:34: phases.back-translate.from is \"de-en\", which trains for classification; a "
               "phase with the task generation writes texts");
  expect_fault(road_with("{name: en-de, ", "{name: en-de, from: back-translate, "),
               "13:25: phases.en-de.from is \"back-translate\", which makes a corpus and has no "
               "model; name a phase that trains one");
  expect_fault(road_with("{name: en-de, ", "{name: en-de, distil: {teacher: back-translate}, "),
               "13:37: phases.en-de.distil.teacher is \"back-translate\", which makes a corpus and "
               "has no model; name a phase that trains one");
}

TEST(Generation, TextsAreOfAGivenCorpus) {
  expect_fault(road_with("of: german", "of: germn"),
               "12:56: phases.back-translate.generate.of names no corpus \"germn\"; did you mean "
               "\"german\"?");
  expect_fault(road_with("of: german", "of: back"),
               "12:56: phases.back-translate.generate.of is \"back\", which is made itself; name a "
               "corpus that is given");
  expect_fault(
      road_with("of: german", "of: labels"),
      "12:56: the corpus \"labels\" is of kind classification; texts are taken from one of "
      "kind text or generation");
  expect_fault(road_with("valid_fraction: 0", "valid_fraction: 0, max_train_samples: 5"),
               "12:56: the corpus \"german\" has max_train_samples, which a text is not chosen by; "
               "give it the files of the texts that are meant");
  expect_fault(road_with("of: german, ", ""),
               "12:51: phases.back-translate.generate lacks the key \"of\": the corpus whose texts "
               "are given to the model");
  EXPECT_EQ(faults_of(road_with("of: german", "of: reversed")), "");
}

TEST(Generation, DrawingAndBeamsExcludeEachOther) {
  expect_fault(road_with("beams: 4", "beams: 4, temperature: 1"),
               "12:87: phases.back-translate.generate: beams look for the likeliest text, "
               "temperature draws one; take either");
  expect_fault(
      road_with("beams: 4", "top_k: 10"),
      "12:71: phases.back-translate.generate.top_k is for drawing, and without temperature "
      "nothing is drawn; give phases.back-translate.generate.temperature");
}

TEST(Generation, ACorpusIsUsedBehindThePhaseThatMakesIt) {
  expect_fault(road_with("data: {reversed: 1.0}", "data: {reversed: 1.0, back: 1.0}"),
               "11:51: phases.de-en.data names a corpus that \"back-translate\" makes, which comes "
               "later; move \"back-translate\" before \"de-en\"");
}

TEST(Generation, NothingIsMeasuredOnWhatIsMade) {
  expect_fault(road_with("data: {captions: 1.0, back: 1.0}, stop: {epochs: 1}",
                         "data: {back: 1.0}, stop: {epochs: 1, early: {metric: valid.loss}}"),
               "13:89: phases.en-de.stop.early needs a validation part, and the corpus \"back\" "
               "has none; measure on a corpus that is given");
  const std::string iterate =
      "iterate: {target: {phase: PHASE, metric: valid.loss, at_most: 1}, max_rounds: 2}\n";
  const auto with_target = [&](const std::string& phase) {
    std::string section = iterate;
    return kRoad + section.replace(section.find("PHASE"), 5, phase);
  };
  EXPECT_EQ(faults_of(with_target("en-de")), "");
  expect_fault(with_target("back-translate"),
               "14:27: iterate.target.phase is \"back-translate\", which makes a corpus; name a "
               "phase that trains on it");
}

TEST(Generation, ItFitsAnyNumberOfRanks) {
  Recipe recipe = parse(kRoad, "r");
  recipe.phases = {recipe.phases[1]};
  EXPECT_NO_THROW(check_layout(recipe, 7));
}

TEST(Generation, AStrategyCannotPutTheWritingModelBehindAGate) {
  std::string text = road_with("{name: en-de, ", "{name: en-de, from: other, ");
  const std::string other =
      "phases:\n  - {name: other, gate: {}, task: {kind: generation}, data: {reversed: 1.0}, "
      "stop: {epochs: 1}}\n";
  text.replace(text.find("phases:\n"), std::string("phases:\n").size(), other);
  text +=
      "iterate:\n  target: {phase: en-de, metric: valid.loss, at_most: 1}\n  max_rounds: 2\n"
      "  strategies:\n    - {name: swap, set: {phases.back-translate.from: other}}\n";
  const Recipe recipe = parse(text, "r.yaml");
  EXPECT_THROW(variant_of(recipe, {.strategies = {"swap"}, .gates = {}}), RecipeError);
  EXPECT_EQ(
      find_phase(variant_of(recipe, {.strategies = {"swap"}, .gates = {"other"}}), "back-translate")
          ->from,
      "other");
}

TEST(Generation, ConditionsDoNotLookAtWhatIsNotTrained) {
  const std::string text =
      kRoad +
      "iterate:\n  target: {phase: en-de, metric: valid.loss, at_most: 1}\n  max_rounds: 2\n"
      "  strategies:\n    - {name: s, when: back-translate.diverged, set: {phases.en-de.dropout: "
      "0}}\n";
  EXPECT_NE(faults_of(text).find("looks at phase \"back-translate\", which trains nothing"),
            std::string::npos)
      << faults_of(text);
}

}  // namespace
}  // namespace polyphase::recipe
