// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "comm/session.hpp"
#include "corpus/batch_stream.hpp"
#include "train/phase_model.hpp"
#include "train/stop_request.hpp"

namespace polyphase {

// Each objective's tally of each of some micro-batches, as PhaseModel::evaluate() gives them.
using BatchTallies = std::function<std::vector<std::vector<Tally>>(std::span<const Batch>)>;
BatchTallies tallies_by(PhaseModel& model);

// Each objective's tally of a data set's part; the same bits on any number of data-parallel ranks
// and stages. Collective. Empty when a stop was asked for meanwhile.
std::optional<std::vector<Tally>> evaluation_tallies(const BatchTallies& evaluate,
                                                     EvaluationStream& stream,
                                                     const Communicator& world,
                                                     const RankGrid& grid, StopRequest& stop);

// Sums tallies of micro-batches over the data-parallel ranks. `mine` are this rank's, by objective;
// every rank gives the same number of micro-batches, as they were dealt.
std::vector<Tally> sum_tallies(const std::vector<std::vector<Tally>>& mine,
                               const Communicator& data, Dealing dealing);
// The same of those that the last stage of a pipeline has, for all stages; of layers, those that
// every stage has.
std::vector<Tally> sum_tallies(std::vector<std::vector<Tally>> mine, const RankGrid& grid,
                               Dealing dealing);

}  // namespace polyphase
