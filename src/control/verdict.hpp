// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "control/journal.hpp"
#include "recipe/iterate.hpp"

namespace polyphase {

// Whether a round is kept. `parent_score` is empty for the first round, which always is; `test` is
// empty where the two rounds' samples cannot be compared one by one.
Verdict judge(const recipe::Iterate& iterate, double margin, double score,
              std::optional<double> parent_score, const std::optional<PairedTest>& test);

// Of a trial that had a share of its steps: it is never kept, and its score decides whether it goes
// on to the next rung.
Verdict judge_preliminary(const recipe::Strategy& trial, double score);

// score − parent_score, or its negative where lower values of the target's metric are better.
double gain_of(const recipe::Target& target, double score, double parent_score);

bool target_holds(const recipe::Target& target, double score);

// Of rounds that have ended: what the target is, and what the best round reached; "" where it
// holds.
std::string shortfall_of(const recipe::Target& target, const Journal& journal);

}  // namespace polyphase
