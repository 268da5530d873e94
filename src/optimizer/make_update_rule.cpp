// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <map>

#include "base/error.hpp"
#include "optimizer/element_rules.hpp"
#include "optimizer/tensor_rules.hpp"

namespace polyphase {

std::unique_ptr<UpdateRule> make_update_rule(const recipe::Optimizer& settings) {
  using Make = std::function<std::unique_ptr<UpdateRule>(const recipe::Optimizer&)>;
  static const std::map<std::string, Make> rules = {
      {"sgd", [](const auto& s) { return std::make_unique<SgdRule>(s); }},
      {"adam",
       [](const auto& s) { return std::make_unique<AdamRule>(s, AdamRule::Decay::kInGradient); }},
      {"adamw",
       [](const auto& s) { return std::make_unique<AdamRule>(s, AdamRule::Decay::kDecoupled); }},
      {"lamb", [](const auto& s) { return std::make_unique<LambRule>(s); }},
      {"adafactor", [](const auto&) { return std::make_unique<AdafactorRule>(); }},
      {"lion", [](const auto& s) { return std::make_unique<LionRule>(s); }},
      {"muon", [](const auto& s) { return std::make_unique<MuonRule>(s); }},
  };
  const auto found = rules.find(settings.kind);
  POLYPHASE_PROMISE(found != rules.end(), "no update rule for the optimizer {}", settings.kind);
  return found->second(settings);
}

}  // namespace polyphase
