// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "recipe/differing_keys.hpp"
#include "recipe/document.hpp"
#include "recipe/load.hpp"
#include "recipe/schema.hpp"
#include "recipe/variants.hpp"

namespace polyphase::recipe {
namespace {

// What may differ between runs that continue each other: where, for how long, how often saved, on
// how many ranks, in how much memory, in what jobs.
const std::vector<std::string> kMayDiffer = {"run_dir",   "folder", "checkpoint", "parallel",
                                             "recompute", "limits", "slurm"};

Node what_must_stay(Node root) {
  for (const std::string& key : kMayDiffer) root.erase(key);
  if (Node* phases = root.find("phases"); phases != nullptr) {
    for (Node& phase : phases->items) phase.erase("slurm");
  }
  // A budget may grow: what was decided before stays.
  Node* iterate = root.find("iterate");
  for (const char* key : {"max_rounds", "max_steps", "max_hours"}) {
    if (iterate != nullptr) iterate->erase(key);
  }
  if (Node* all = iterate == nullptr ? nullptr : iterate->find("strategies"); all != nullptr) {
    for (Node& strategy : all->items) {
      if (Node* search = strategy.find("search")) search->erase("ranks_per_trial");
    }
  }
  return root;
}

using Leaves = std::vector<std::pair<std::string, std::string>>;

// Key paths with their values; items of a list that have a name go by it.
void collect_leaves(const Node& node, const std::string& path, Leaves& leaves) {
  const auto below = [&path](const std::string& key) {
    return path.empty() ? key : path + "." + key;
  };
  if (node.kind == Node::Kind::kMap) {
    for (const Node::Entry& entry : node.entries) {
      collect_leaves(entry.value, below(entry.key), leaves);
    }
    return;
  }
  const bool of_sections = node.kind == Node::Kind::kList && !node.items.empty() &&
                           node.items.front().kind == Node::Kind::kMap;
  if (of_sections) {
    std::vector<std::string> names;
    for (const Node& item : node.items) {
      const Node* name = item.find("name");
      names.push_back(name != nullptr ? name->text : "?");
      collect_leaves(item, below(names.back()), leaves);
    }
    leaves.emplace_back(below("order"), fmt::format("[{}]", fmt::join(names, ", ")));
    return;
  }
  std::vector<std::string> texts;
  for (const Node& item : node.items) texts.push_back(item.text);
  leaves.emplace_back(path, node.kind == Node::Kind::kList
                                ? fmt::format("[{}]", fmt::join(texts, ", "))
                                : node.text);
}

Leaves leaves_of(const std::string& resolved_text) {
  Faults faults;
  const Node root =
      parse_document(resolved_text, "the resolved recipe", Marks::kLineAndColumn, faults);
  faults.throw_if_any();
  Leaves leaves;
  collect_leaves(what_must_stay(root), "", leaves);
  return leaves;
}

}  // namespace

std::string resolved(const Recipe& recipe) { return emit(write_recipe(recipe)); }

std::string recipe_hash(const Recipe& recipe) {
  return digest(emit(what_must_stay(write_recipe(recipe))));
}

std::string phase_hash(const Recipe& recipe, std::size_t phase_index) {
  POLYPHASE_PROMISE(phase_index < recipe.phases.size(), "phase {} of {}", phase_index,
                    recipe.phases.size());
  Recipe part = recipe;
  part.iterate.reset();
  part.phases.clear();
  part.corpora.clear();
  std::set<std::string> corpora;
  for (const std::string& name : tokenizer_corpora(recipe)) corpora.insert(name);
  for (const std::size_t number : road_to(recipe, recipe.phases[phase_index].name)) {
    part.phases.push_back(recipe.phases[number]);
    part.phases.back().gate.reset();
    for (const auto& [name, weight] : recipe.phases[number].data) corpora.insert(name);
    if (recipe.phases[number].generate) corpora.insert(recipe.phases[number].generate->of);
  }
  for (const Corpus& corpus : recipe.corpora) {
    if (corpora.count(corpus.name) > 0) part.corpora.push_back(corpus);
  }
  Node root = what_must_stay(write_recipe(part));
  root.erase("name");
  return digest(emit(root));
}

std::vector<std::string> differences(const std::string& resolved_a, const std::string& resolved_b) {
  const Leaves a = leaves_of(resolved_a);
  const Leaves b = leaves_of(resolved_b);
  const std::map<std::string, std::string> in_a(a.begin(), a.end());
  const std::map<std::string, std::string> in_b(b.begin(), b.end());
  std::vector<std::string> lines;
  for (const auto& [path, value] : a) {
    const auto other = in_b.find(path);
    if (other == in_b.end()) {
      lines.push_back(fmt::format("{}: {} → (none)", path, value));
    } else if (other->second != value) {
      lines.push_back(fmt::format("{}: {} → {}", path, value, other->second));
    }
  }
  for (const auto& [path, value] : b) {
    if (in_a.count(path) == 0) lines.push_back(fmt::format("{}: (none) → {}", path, value));
  }
  return lines;
}

std::map<std::string, std::vector<std::string>> differing_keys(
    const std::vector<std::string>& resolved) {
  std::map<std::string, std::vector<std::string>> by_key;
  for (std::size_t r = 0; r < resolved.size(); ++r) {
    for (const auto& [path, value] : leaves_of(resolved[r])) {
      const std::vector<std::string> nowhere(resolved.size(), "–");
      by_key.emplace(path, nowhere).first->second[r] = value;
    }
  }
  std::erase_if(by_key, [](const auto& entry) {
    const std::vector<std::string>& values = entry.second;
    return std::all_of(values.begin(), values.end(),
                       [&](const std::string& value) { return value == values.front(); });
  });
  return by_key;
}

}  // namespace polyphase::recipe
