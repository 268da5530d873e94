// SPDX-License-Identifier: Apache-2.0
// A phase's own depth, its teacher and its low-rank additions.
#include <gtest/gtest.h>

#include "recipe/variants.hpp"
#include "tests/recipe/good_recipe.hpp"

namespace polyphase::recipe {
namespace {

const std::string kTopic = "task: {kind: classification, pooling: first}\n";

std::string topic_with(const std::string& keys) {
  return good_recipe_with(kTopic, kTopic + "    " + keys + "\n");
}

// Two phases of one task, the second with `keys`.
std::string student_with(const std::string& keys) {
  return std::string(kGoodRecipe) +
         "  - name: student\n    from: topic\n    task: {kind: classification}\n"
         "    data: {topics: 1.0}\n    stop: {epochs: 1}\n    " +
         keys + "\n";
}

TEST(Adaptation, LayersComeFromWhereTheRuleSays) {
  const auto sources = [](Growth growth, std::int64_t k, std::int64_t n) {
    std::vector<std::int64_t> layers;
    for (std::int64_t i = 0; i < n; ++i) layers.push_back(layer_source(growth, i, k, n));
    return layers;
  };
  using Layers = std::vector<std::int64_t>;
  EXPECT_EQ(sources(Growth::kStack, 2, 5), (Layers{0, 1, 0, 1, 0}));
  EXPECT_EQ(sources(Growth::kInterpose, 2, 5), (Layers{0, 0, 0, 1, 1}));
  EXPECT_EQ(sources(Growth::kInterpose, 3, 6), (Layers{0, 0, 1, 1, 2, 2}));
  EXPECT_EQ(sources(Growth::kIdentity, 2, 4), (Layers{0, 1, 0, 1}));
  EXPECT_EQ(sources(Growth::kSkip, 6, 3), (Layers{0, 2, 4}));
  EXPECT_EQ(sources(Growth::kSkip, 12, 5), (Layers{0, 2, 4, 7, 9}));
}

TEST(Adaptation, PhasesOwnDepthReplacesTheModels) {
  const Recipe recipe = parse(topic_with("num_layers: 6\n    growth: stack"), "r.yaml");
  EXPECT_EQ(model_of(recipe, recipe.phases[1]).num_layers, 2);
  EXPECT_EQ(model_of(recipe, recipe.phases[2]).num_layers, 6);
  EXPECT_EQ(recipe.model.num_layers, 2);
}

TEST(Adaptation, DepthsThatDifferNeedARule) {
  EXPECT_EQ(faults_of(topic_with("num_layers: 6")),
            "r.yaml:29:11: phases.topic has 6 layers and \"tags\", which it starts from, 2; say "
            "with phases.topic.growth where its layers come from: stack, interpose or identity");
  EXPECT_EQ(faults_of(topic_with("num_layers: 1")),
            "r.yaml:29:11: phases.topic has 1 layers and \"tags\", which it starts from, 2; say "
            "with phases.topic.growth that it takes evenly spaced ones: skip");
  EXPECT_EQ(faults_of(topic_with("num_layers: 1\n    growth: stack")),
            "r.yaml:32:13: phases.topic has 1 layers and \"tags\", which it starts from, 2; say "
            "with phases.topic.growth that it takes evenly spaced ones: skip");
  EXPECT_EQ(faults_of(topic_with("num_layers: 3\n    growth: skip")),
            "r.yaml:32:13: phases.topic has 3 layers and \"tags\", which it starts from, 2; say "
            "with phases.topic.growth where its layers come from: stack, interpose or identity");
}

TEST(Adaptation, RuleWithoutAUseIsAFault) {
  EXPECT_EQ(faults_of(topic_with("growth: stack")),
            "r.yaml:31:13: phases.topic.growth is given, but \"tags\", which it starts from, has "
            "as many layers");
  EXPECT_EQ(faults_of(good_recipe_with("    objectives:", "    growth: stack\n    objectives:")),
            "r.yaml:15:13: phases.pretrain.growth is given, but \"pretrain\" starts from no phase");
  EXPECT_EQ(faults_of(topic_with("growth: double")),
            "r.yaml:31:13: phases.topic.growth is \"double\"; expected stack, interpose, identity "
            "or skip");
  EXPECT_EQ(faults_of(topic_with("num_decoder_layers: 2")),
            "r.yaml:31:25: phases.topic.num_decoder_layers is given, but this phase has no "
            "decoder");
}

TEST(Adaptation, PhasesThatChangeTheDepthHaveNoGate) {
  const std::string target =
      "iterate:\n  target: {phase: topic, metric: valid.accuracy, at_least: 0.8}\n";
  const std::string text =
      topic_with("num_layers: 3\n    growth: stack\n    gate: {margin: 0.1}") + target;
  const std::string faults = faults_of(text);
  EXPECT_NE(faults.find("phases.topic.gate: this phase changes the depth, and what starts from it "
                        "could not start from \"tags\" instead"),
            std::string::npos)
      << faults;
}

TEST(Adaptation, IdentityIsForPreNorm) {
  EXPECT_EQ(faults_of(topic_with("num_layers: 3\n    growth: identity")),
            "r.yaml:32:13: phases.topic.growth is identity, which keeps what a pre-norm model "
            "computes; this model is post-norm, whose norms change what a new layer leaves alone; "
            "take stack or interpose");
  EXPECT_EQ(faults_of(topic_with("num_layers: 3\n    growth: identity"), {"model.norm=pre"}), "");
}

TEST(Adaptation, TeacherIsAnEarlierPhaseOfTheSameGoal) {
  EXPECT_EQ(faults_of(student_with("distil: {teacher: topic}")), "");
  EXPECT_EQ(faults_of(student_with("distil: {teacher: student}")),
            "r.yaml:40:23: phases.student.distil.teacher names no earlier phase \"student\"; "
            "earlier phases are pretrain, tags, topic");
  EXPECT_EQ(faults_of(student_with("distil: {teacher: tags}")),
            "r.yaml:40:23: phases.student.distil.teacher is \"tags\", which was trained for "
            "tagging, not for classification");
  EXPECT_EQ(faults_of(student_with("distil: {temperature: 3}")),
            "r.yaml:40:13: phases.student.distil lacks the key \"teacher\": the earlier phase "
            "whose model is learnt from");
  EXPECT_EQ(faults_of(student_with("distil: {teacher: topic, weight: 1.5}")),
            "r.yaml:40:38: phases.student.distil.weight is \"1.5\"; expected a number from 0 to 1");
}

TEST(Adaptation, OutputsOfATeacherAreKeptForOneRowASample) {
  EXPECT_EQ(faults_of(student_with("distil: {teacher: topic, kept: true}")), "");
  EXPECT_EQ(faults_of(student_with("distil: {teacher: topic, hidden: 0.5, kept: true}")),
            "r.yaml:40:49: phases.student.distil.kept keeps what the teacher says of a text, not "
            "its hidden states and attention; leave kept or these weights out");
}

TEST(Adaptation, MixturesHaveNoTeacher) {
  EXPECT_EQ(faults_of(student_with("distil: {teacher: topic}\n    mixup: 0.5")),
            "r.yaml:41:12: phases.student.mixup mixes states of texts, of which a teacher knows "
            "nothing; take either");
  EXPECT_EQ(faults_of(student_with("distil: {teacher: topic}\n    r_drop: 0.5")),
            "r.yaml:41:13: phases.student.r_drop has every text twice in a pass, a teacher once; "
            "take either");
}

TEST(Adaptation, EveryLayerThatIsMatchedHasATeachersLayer) {
  const std::string all = "distil: {teacher: topic, attention: 1, hidden: 1, layers: all}";
  EXPECT_EQ(faults_of(student_with(all)), "");
  EXPECT_EQ(faults_of(student_with("num_layers: 1\n    growth: skip\n    " + all)), "");
  EXPECT_EQ(faults_of(student_with("num_layers: 4\n    growth: stack\n    " + all)),
            "r.yaml:42:63: phases.student.distil.layers is all, but \"topic\" has 2 layers, fewer "
            "than the 4 here, which each learn from one of their own; write layers: last, or take "
            "a deeper teacher");
  EXPECT_EQ(faults_of(student_with("num_layers: 4\n    growth: stack\n    "
                                   "distil: {teacher: topic, attention: 1}")),
            "");
  EXPECT_EQ(faults_of(student_with("distil: {teacher: topic, layers: all}")),
            "r.yaml:40:38: phases.student.distil.layers is all, but nothing of a layer is matched; "
            "give hidden or attention a weight");
  EXPECT_EQ(faults_of(student_with("distil: {teacher: topic, attention: -1}")),
            "r.yaml:40:41: phases.student.distil.attention is \"-1\"; expected a number of at "
            "least 0");
}

TEST(Adaptation, LayersThatAreLeftOutLearnNothing) {
  const std::string faults =
      faults_of(student_with("distil: {teacher: topic, attention: 1}\n    layer_drop: 0.2"));
  EXPECT_EQ(faults,
            "r.yaml:40:13: phases.student.distil matches each layer with one of the teacher's, and "
            "layer_drop leaves layers out of a step, which then have nothing to match; take "
            "either");
  EXPECT_EQ(faults_of(student_with("distil: {teacher: topic, hidden: 1, layers: all}\n    "
                                   "layer_drop: 0.2")),
            faults);
  EXPECT_EQ(faults_of(student_with("distil: {teacher: topic, hidden: 1}\n    layer_drop: 0.2")),
            "");
}

// The good recipe with a student of the phase "tags" behind it.
std::string tagger_with(const std::string& task, const std::string& teacher_task) {
  std::string text = good_recipe_with("task: {kind: tagging}", "task: " + teacher_task);
  return text.insert(text.find("  - name: topic\n"),
                     "  - name: student\n    from: tags\n    task: " + task +
                         "\n    data: {tags: 1.0}\n"
                         "    distil: {teacher: tags}\n"
                         "    stop: {epochs: 1}\n");
}

TEST(Adaptation, RandomFieldsLearnFromRandomFields) {
  const std::string crf = "{kind: tagging, head: crf}", softmax = "{kind: tagging}";
  EXPECT_EQ(faults_of(tagger_with(crf, crf)), "");
  EXPECT_EQ(faults_of(tagger_with(softmax, softmax)), "");
  EXPECT_NE(faults_of(tagger_with(crf, softmax))
                .find("distil.teacher is \"tags\", whose head is a softmax, and this phase's is a "
                      "crf: what they say of a sentence is not comparable; take the same head"),
            std::string::npos)
      << faults_of(tagger_with(crf, softmax));
}

TEST(Adaptation, TeacherBelongsToTheRoadAndTheHash) {
  const Recipe recipe = parse(student_with("distil: {teacher: topic, hidden: 0.5}"), "r.yaml");
  Recipe other = recipe;
  other.phases[3].from = "pretrain";
  EXPECT_EQ(road_to(other, "student"), (std::vector<std::size_t>{0, 1, 2, 3}));
  Recipe longer = other;
  longer.phases[2].stop.epochs = 9;
  EXPECT_NE(phase_hash(other, 3), phase_hash(longer, 3));
  EXPECT_EQ(phase_hash(other, 1), phase_hash(longer, 1));
  EXPECT_EQ(needed_phases(other.phases[3]), (std::vector<std::string>{"pretrain", "topic"}));
}

TEST(Adaptation, ResolvedRecipeReadsBackAsTheSame) {
  const Recipe recipe =
      parse(student_with("num_layers: 1\n    growth: skip\n"
                         "    distil: {teacher: topic, weight: 0.9, attention: 2, layers: all}\n"
                         "    lora: {rank: 2, match: [\"*.attention.*\"]}"),
            "r.yaml");
  const std::string text = resolved(recipe);
  const Recipe again = parse(text, "again.yaml");
  EXPECT_EQ(resolved(again), text);
  EXPECT_EQ(again.phases[3].adaptation.growth, Growth::kSkip);
  EXPECT_EQ(again.phases[3].adaptation.distil->temperature, 2.0);
  EXPECT_EQ(again.phases[3].adaptation.distil->attention, 2.0);
  EXPECT_EQ(again.phases[3].adaptation.distil->layers, MatchedLayers::kAll);
  EXPECT_EQ(again.phases[3].adaptation.lora->alpha, 16.0);
  EXPECT_FALSE(again.phases[2].adaptation.lora);
}

TEST(Adaptation, LowRankAdditionsNameTheirWeights) {
  EXPECT_EQ(faults_of(topic_with("lora: {rank: 4}")),
            "r.yaml:31:11: phases.topic.lora lacks the key \"match\": patterns of weights of "
            "products, such as \"*.attention.*\"");
  EXPECT_EQ(faults_of(topic_with("lora: {match: []}")),
            "r.yaml:31:19: phases.topic.lora.match is empty; name weights, such as "
            "\"*.attention.*\"");
  EXPECT_EQ(faults_of(topic_with("lora: {rank: 0, match: [\"*\"]}")),
            "r.yaml:31:18: phases.topic.lora.rank is \"0\"; expected a whole number of at least 1");
}

}  // namespace
}  // namespace polyphase::recipe
