// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.hpp"
#include "comm/communicator.hpp"

namespace polyphase {

// MPI from start to end of the program. A program started without mpirun is one rank.
class MpiSession {
 public:
  MpiSession(int* argc, char*** argv);
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  const Communicator& world() const { return world_; }

  // Of those that share this rank's memory. Collective over all ranks.
  struct RankOfNode {
    int rank = 0, size = 1;
  };
  RankOfNode rank_of_node() const;

  // Ends all ranks at once with this exit code: for an error that only one rank has seen.
  [[noreturn]] void abort(ExitCode code) const;

 private:
  Communicator world_;
};

// The ranks as a grid: tensor-parallel ranks share one copy of the model and are neighbours (they
// talk most); data-parallel ranks hold the same part of it; the ranks of a pipeline, its stages,
// hold layers one behind the other, and may be farthest apart. rank = (stage × data_size +
// data_rank) × tensor_size + tensor_rank.
struct RankGrid {
  Communicator tensor;
  Communicator data;
  Communicator pipeline;
};

// A group of `size` ranks that is only counted with; nothing can be sent through it.
Communicator planning_communicator(int size, int rank = 0);

// Throws RecipeError when tensor_size × pipeline_size does not divide the number of ranks.
RankGrid make_grid(const Communicator& world, int tensor_size, int pipeline_size = 1);

}  // namespace polyphase
