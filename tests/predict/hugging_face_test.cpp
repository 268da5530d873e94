// SPDX-License-Identifier: Apache-2.0
#include "predict/hugging_face.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "base/error.hpp"
#include "comm/session.hpp"
#include "recipe/load.hpp"
#include "train/phase_model.hpp"

namespace polyphase {
namespace {

using nlohmann::json;

constexpr std::int64_t kVocabulary = 50;
const std::vector<std::string> kLabels = {"a", "b", "c", "d", "e"};

json read_cases() {
  std::ifstream file(std::string(POLYPHASE_REFERENCE_FOLDER) + "/hugging_face.json");
  return json::parse(file);
}

// `trains`: objectives with "+" between, or a task.
recipe::Recipe recipe_of(const json& model, const std::string& trains) {
  json phase = {{"name", "phase"}, {"data", {{"corpus", 1.0}}}, {"stop", {{"steps", 1}}}};
  json corpus = {{"kind", "text"}, {"files", {"a.txt"}}};
  const std::string task = trains.substr(0, trains.find(" "));
  if (task == "tagging" || task == "generation" || task == "classification") {
    phase["task"]["kind"] = task;
    if (trains.ends_with(" crf")) phase["task"]["head"] = "crf";
    corpus = {{"kind", task}, {"train", {"a.tsv"}}};
    if (task == "generation") corpus["format"] = "tsv";
  } else {
    std::istringstream names(trains);
    for (std::string name; std::getline(names, name, '+');) phase["objectives"][name] = 1.0;
  }
  return recipe::parse(json{{"name", "export"},
                            {"tokenizer", {{"kind", "unigram"}, {"corpora", {"corpus"}}}},
                            {"corpora", {{"corpus", corpus}}},
                            {"model", model},
                            {"phases", {phase}}}
                           .dump(),
                       "test");
}

struct Exported {
  HuggingFaceModel model;
  std::map<std::string, std::vector<std::int64_t>> shapes;
};

// `without`: a parameter that the checkpoint lacks.
Exported exported(const json& model, const std::string& trains, const std::string& without = "") {
  const recipe::Recipe recipe = recipe_of(model, trains);
  const recipe::Phase& phase = recipe.phases.front();
  const Communicator alone = planning_communicator(1);
  const auto trained =
      make_phase_model(recipe, phase, {.vocab_size = kVocabulary, .label_names = kLabels}, alone);
  std::map<std::string, std::vector<std::int64_t>> ours;
  std::vector<std::string> names;
  for (const Parameter& parameter : trained->parameters().all()) {
    if (parameter.spec.name == without) continue;
    ours[parameter.spec.name] = parameter.spec.global_shape;
    names.push_back(parameter.spec.name);
  }
  Exported result;
  result.model = hugging_face_model(recipe::model_of(recipe, phase), phase, names,
                                    recipe::num_token_ids(recipe.model, kVocabulary), kLabels);
  for (const NamedTensor& tensor : result.model.tensors) {
    std::vector<std::int64_t> shape = tensor.zeros;
    for (const std::string& part : tensor.parts) {
      if (shape.empty()) {
        shape = ours.at(part);
      } else {
        shape[0] += ours.at(part)[0];
      }
    }
    if (tensor.transposed) std::swap(shape[0], shape[1]);
    result.shapes[tensor.name] = shape;
  }
  return result;
}

// Names and shapes are what the library's own models say (reference/hugging_face.py).
TEST(HuggingFace, ClassesHaveAllTheirTensorsAndNoOthers) {
  for (const json& reference : read_cases()) {
    const std::string kind = reference.at("class");
    SCOPED_TRACE(kind + ", " + reference.at("trains").get<std::string>());
    const Exported ours = exported(reference.at("model"), reference.at("trains"));
    EXPECT_EQ(ours.model.config.at("architectures"), json::array({kind}));
    EXPECT_TRUE(ours.model.unknown.empty());
    EXPECT_EQ(ours.shapes,
              (reference.at("tensors").get<std::map<std::string, std::vector<std::int64_t>>>()));
  }
}

TEST(HuggingFace, HeadsThatNoClassHasKeepTheirNames) {
  const json bert = read_cases().at(0).at("model");
  const Exported crf = exported(bert, "tagging crf");
  EXPECT_EQ(crf.model.config.at("architectures"), json::array({"BertModel"}));
  EXPECT_TRUE(crf.shapes.contains("head.crf.transitions"));
  EXPECT_TRUE(crf.shapes.contains("head.tagging.output.weight"));
  EXPECT_EQ(exported(bert, "classification").model.unknown,
            (std::vector<std::string>{"head.classification.output.bias",
                                      "head.classification.output.weight"}));
}

TEST(HuggingFace, OtherModelsAreRefusedWithTheirKeys) {
  json model = read_cases().at(0).at("model");
  model["norm"] = "pre";
  model["positions"] = "rotary";
  try {
    exported(model, "mlm");
    FAIL() << "a model that no class computes";
  } catch (const RecipeError& error) {
    EXPECT_NE(std::string(error.what()).find("norm: post, positions: learned"), std::string::npos)
        << error.what();
  }
}

TEST(HuggingFace, MissingParameterIsNamed) {
  const json gpt = read_cases().at(3).at("model");
  try {
    exported(gpt, "clm", "layers.1.attention.key.weight");
    FAIL() << "transformers would fill the gap with random numbers";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("layers.1.attention.key.weight"), std::string::npos);
  }
}

}  // namespace
}  // namespace polyphase
