// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "recipe/iterate.hpp"
#include "report/history.hpp"

namespace polyphase {

// What conditions may ask of one trained phase, by name, from its metrics.jsonl:
//   train.loss        mean training loss of the last tenth of its steps (at least one); of several
//                     objectives also train.mlm_loss and so on
//   train.first_loss  likewise of the first tenth
//   train.rise        (train.loss − train.first_loss) / train.first_loss
//   valid.METRIC      the last evaluation of the validation part
//   valid.lowest_loss the lowest validation loss of all evaluations
//   valid.gap         (valid.loss − train.loss) / valid.loss
//   valid.rise        (valid.loss − valid.lowest_loss) / valid.lowest_loss
//   valid.late_gain   share by which the lowest validation loss of the last third of the
//                     evaluations is below the lowest before; none with fewer than three
// and the words, 1 or 0:
//   diverged      a training loss is not finite, or train.rise > diverged_rise
//   overfitting   not diverged, and valid.gap ≥ overfitting_gap or valid.rise ≥ overfitting_rise
//   underfitting  neither diverged nor overfitting, and valid.gap ≤ underfitting_gap
//   plateau       not diverged, and valid.late_gain ≤ plateau_gain
// What the file does not tell is left out.
std::map<std::string, double> measure(const report::History& history,
                                      const recipe::Thresholds& thresholds);

// Names of the measured values that decide whether a word holds.
std::vector<std::string> numbers_of_word(const std::string& word);

// The word's definition with its thresholds, for people.
std::string definition_of(const std::string& word, const recipe::Thresholds& thresholds);

}  // namespace polyphase
