// SPDX-License-Identifier: Apache-2.0
#include "train/phase_hand_over.hpp"

#include <algorithm>
#include <map>

#include "base/log.hpp"
#include "comm/agreement.hpp"
#include "io/checkpoint.hpp"
#include "recipe/load.hpp"
#include "train/checkpointing.hpp"
#include "train/source_phase.hpp"

namespace polyphase {
namespace {

namespace fs = std::filesystem;

// What the model of the phase before goes through. Gates and strategies may bring together phases
// of which the recipe's own order says nothing.
HandOverRules rules_of(const recipe::Recipe& recipe, const recipe::Phase& phase,
                       const SourcePhase& from) {
  const recipe::Model there = recipe::model_of(from.recipe, from.phase),
                      here = recipe::model_of(recipe, phase);
  const recipe::Growth growth = phase.adaptation.growth;
  if (there.num_layers != here.num_layers && growth == recipe::Growth::kNone) {
    fail<RecipeError>(
        "phase {} has {} layers and starts from {}, which has {}; give phases.{}.growth or "
        "phases.{}.num_layers",
        phase.name, here.num_layers, from.name, there.num_layers, phase.name, phase.name);
  }
  HandOverRules rules = {.growth = growth};
  if (const auto& lora = from.phase.adaptation.lora)
    rules.adapter_scale = lora->alpha / static_cast<double>(lora->rank);
  return rules;
}

// Updates that a phase's parameters have had at its end: its own, and those that it went on from.
class UpdateHistory {
 public:
  UpdateHistory(const fs::path& folder, const recipe::Phase& phase)
      : state_(CheckpointReader(folder).state().at("phase_state").template get<PhaseState>()),
        first_steps_(first_steps(parameters_of(folder), phase)) {}

  UpdateCounts of(const std::string& name) const {
    const auto first = first_steps_.find(name);
    const std::int64_t own =
        first == first_steps_.end() ? 0 : std::max<std::int64_t>(0, state_.step - first->second);
    const HandOver& before = state_.hand_over;
    const auto earlier = before.kept_updates.find(name), squares = before.square_updates.find(name);
    const std::int64_t others = earlier == before.kept_updates.end() ? 0 : earlier->second;
    return {.gradients = own + others,
            .squares = own + (squares == before.square_updates.end() ? others : squares->second)};
  }

 private:
  PhaseState state_;
  std::map<std::string, std::int64_t> first_steps_;
};

void note(HandOver& hand_over, const std::string& name, const UpdateCounts& counts) {
  hand_over.kept_updates[name] = counts.gradients;
  if (counts.squares != counts.gradients) hand_over.square_updates[name] = counts.squares;
}

// "layers.0.attention.query.weight: moment1 from momentum, moment2 new"
std::string made_of(const StoredState& stored, const ConvertedState& converted) {
  std::string text = stored.parameter.spec.name + ": ";
  for (const std::string& name : stored.wanted) {
    const auto source = converted.sources.find(name);
    text += (text.ends_with(": ") ? "" : ", ") + name +
            (source == converted.sources.end() ? " new" : " from " + source->second);
  }
  return text;
}

// Optimizer state of the phase before, where it was of the same kind, or made of another's, with
// the number of updates that it has seen.
void keep_state(const PhaseJob& job, const fs::path& folder, const HandOverRules& rules,
                const ParameterSet& parameters, Optimizer& optimizer, HandOver& hand_over) {
  const recipe::Phase &phase = phase_of(job), &before = job.from->phase;
  const bool same = before.optimizer.kind == phase.optimizer.kind;
  if (!same && phase.optimizer.state != recipe::StateHandover::kConvert) return;
  const UpdateHistory history(folder, before);
  if (same) {
    for (const auto& [name, source] : take_over_state(folder, parameters, optimizer, rules))
      note(hand_over, name, history.of(source));
  } else {
    take_over_state(folder, parameters, optimizer, rules, [&](const StoredState& stored) {
      ConvertedState converted =
          convert_state(before.optimizer, stored.tensors, history.of(stored.source),
                        phase.optimizer, stored.wanted, stored.parameter.spec.global_shape);
      hand_over.state.push_back(made_of(stored, converted));
      if (!converted.tensors.empty()) note(hand_over, stored.parameter.spec.name, converted.counts);
      return std::move(converted.tensors);
    });
  }
  optimizer.go_on_from(parameters, hand_over.kept_updates, hand_over.square_updates);
}

// Each stage of a pipeline has kept the state of its own parameters.
void join_stages(HandOver& hand_over, const Communicator& pipeline) {
  const nlohmann::json mine = {hand_over.kept_updates, hand_over.square_updates, hand_over.state};
  for (const std::string& text : pipeline.gather(mine.dump())) {
    const nlohmann::json stage = nlohmann::json::parse(text);
    hand_over.kept_updates.merge(stage[0].get<std::map<std::string, std::int64_t>>());
    hand_over.square_updates.merge(stage[1].get<std::map<std::string, std::int64_t>>());
    for (const std::string line : stage[2]) {
      if (std::ranges::count(hand_over.state, line) == 0) hand_over.state.push_back(line);
    }
  }
}

// "12 parameters carried from pretrain, 24 copied from other layers (stack), 4 new, 3 left behind"
std::string hand_over_text(const recipe::Phase& phase, const std::string& from,
                           const HandOver& hand_over) {
  std::string text = fmt::format("{} parameters carried from {}", hand_over.carried.size(), from);
  if (!hand_over.copied.empty()) {
    text += fmt::format(", {} copied from other layers ({})", hand_over.copied.size(),
                        recipe::growth_name(phase.adaptation.growth));
  }
  if (!hand_over.zeroed.empty()) text += fmt::format(", {} set to zero", hand_over.zeroed.size());
  if (!hand_over.merged.empty())
    text += fmt::format(", {} low-rank additions merged", hand_over.merged.size());
  return text +
         fmt::format(", {} new, {} left behind", hand_over.fresh.size(), hand_over.left.size());
}

std::string state_text(const recipe::Phase& phase, const recipe::Phase& from,
                       const HandOver& hand_over) {
  const std::string& before = from.optimizer.kind;
  if (before == phase.optimizer.kind)
    return fmt::format("optimizer state of {} parameters kept", hand_over.kept_updates.size());
  if (phase.optimizer.state != recipe::StateHandover::kConvert)
    return fmt::format("optimizer state reset: {} before, {} now", before, phase.optimizer.kind);
  return fmt::format("optimizer state of {} parameters converted from {} to {}, of {} new",
                     hand_over.kept_updates.size(), before, phase.optimizer.kind,
                     hand_over.state.size() - hand_over.kept_updates.size());
}

}  // namespace

void take_over_model(const PhaseJob& job, const PhaseCorpus& corpus, ParameterSet& parameters,
                     Optimizer& optimizer, PhaseState& state) {
  const recipe::Phase& phase = phase_of(job);
  const SourcePhase& from = *job.from;
  const fs::path result =
      find_source(job.world, from, fmt::format("phase {} has nothing to start from", phase.name));
  HandOver& hand_over = state.hand_over;
  agree_on(job.world, [&] {
    require_same_tokenizer(result, from, corpus);
    state.lineage.from = std::make_shared<const Lineage>(lineage_of_checkpoint(result));
    try {
      const HandOverRules rules = rules_of(job.recipe, phase, from);
      hand_over = take_over(result, parameters, rules);
      if (phase.optimizer.state != recipe::StateHandover::kReset)
        keep_state(job, result, rules, parameters, optimizer, hand_over);
    } catch (const DataError& error) {
      fail<DataError>("{}\nthis is where phase {} starts from: {}", error.what(), phase.name,
                      remedy_for(from, result));
    }
  });
  if (phase.optimizer.state != recipe::StateHandover::kReset)
    join_stages(hand_over, job.grid.pipeline);
  log_info("{}: {}", phase.name, hand_over_text(phase, from.name, hand_over));
  if (phase.optimizer.state != recipe::StateHandover::kReset)
    log_info("{}: {}", phase.name, state_text(phase, from.phase, hand_over));
}

}  // namespace polyphase
