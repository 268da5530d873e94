// SPDX-License-Identifier: Apache-2.0
#include "io/lineage.hpp"

#include "base/error.hpp"
#include "io/checkpoint.hpp"

namespace polyphase {
namespace {

using nlohmann::json;

std::shared_ptr<const Lineage> ancestor_of(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return nullptr;
  return std::make_shared<const Lineage>(found->get<Lineage>());
}

}  // namespace

void to_json(json& object, const Lineage& lineage) {
  object = {{"run", lineage.run},
            {"round", lineage.round},
            {"phase", lineage.phase},
            {"seed", lineage.seed},
            {"versions", lineage.versions},
            {"changes", lineage.changes},
            {"data", {{"tokenizer", lineage.tokenizer}, {"corpora", lineage.corpora}}}};
  if (lineage.step > 0) object["step"] = lineage.step;
  if (!lineage.digest.empty()) object["digest"] = lineage.digest;
  if (lineage.from) object["from"] = *lineage.from;
  if (lineage.teacher) object["teacher"] = *lineage.teacher;
  for (const auto& [name, made] : lineage.made) object["data"]["made"][name] = *made;
  if (!lineage.generation.is_null()) object["generation"] = lineage.generation;
}

void from_json(const json& object, Lineage& lineage) {
  lineage = {};
  lineage.run = object.value("run", lineage.run);
  lineage.round = object.value("round", lineage.round);
  lineage.phase = object.value("phase", lineage.phase);
  lineage.step = object.value("step", lineage.step);
  lineage.digest = object.value("digest", lineage.digest);
  lineage.seed = object.value("seed", lineage.seed);
  lineage.versions = object.value("versions", lineage.versions);
  lineage.changes = object.value("changes", lineage.changes);
  const json data = object.value("data", json::object());
  lineage.tokenizer = data.value("tokenizer", lineage.tokenizer);
  lineage.corpora = data.value("corpora", lineage.corpora);
  lineage.from = ancestor_of(object, "from");
  lineage.teacher = ancestor_of(object, "teacher");
  const json corpora_made = data.value("made", json::object());
  for (const auto& [name, made] : corpora_made.items())
    lineage.made[name] = std::make_shared<const Lineage>(made.get<Lineage>());
  lineage.generation = object.value("generation", json());
}

Lineage lineage_of_checkpoint(const std::filesystem::path& checkpoint) {
  const CheckpointReader reader(checkpoint);
  try {
    Lineage lineage = reader.state().value("lineage", Lineage());
    if (lineage.phase.empty()) lineage.phase = reader.state().value("phase", "");
    lineage.step = reader.state().value(json::json_pointer("/phase_state/step"), std::int64_t{0});
    lineage.digest = reader.digest();
    return lineage;
  } catch (const json::exception& error) {
    fail<DataError>("{}: its record of what made it is none ({}); do not use this checkpoint",
                    checkpoint.string(), error.what());
  }
}

}  // namespace polyphase
